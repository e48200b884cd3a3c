"""The rules of a request: JSON, merged with the server's defaults, as checked rule objects."""

import json
from collections.abc import Mapping
from functools import lru_cache
from types import ModuleType
from typing import Any

from counterpoint import plugins
from serving.rules._options import Options, shown
from serving.rules._rule import Rule
from serving.spec import InvalidInput

RULES = "serving.rules"
MAX_BYTES = 65_536
"""Longest rules of a request."""

_KEPT = 512
_KEPT_BYTES = 4096
"""Rules that are kept parsed: callers send the same few again and again."""

BUILT_IN: Mapping[str, Mapping[str, Any]] = {"availability": {}}
"""Rules that hold unless the configuration or the request says otherwise."""


class RuleSet:
    """Rules in the order they run; compared by identity.

    Args:
        rules: Name -> rule, in order.
        options: Name -> options of the rule, as they were given.
        named: Rules that were named at all, those left out (null) included.

    Attributes:
        options: For the record of what was shown.
        filters: The rules that say what may be shown.
        later: The others, which see the candidates.
        reranks: Some rule needs more candidates than are shown.
        repeats: Items of the history may be recommended again.
    """

    def __init__(
        self, rules: Mapping[str, Rule], options: Mapping[str, Any], named: frozenset[str]
    ) -> None:
        self.rules = dict(rules)
        self.options = options
        self.named = named
        self.filters = {name: rule for name, rule in rules.items() if rule.filters}
        self.later = {name: rule for name, rule in rules.items() if not rule.filters}
        self.reranks = any(rule.reranks for rule in rules.values())
        self.repeats = any(rule.repeats for rule in rules.values())


class RuleBook:
    """Reads rules.

    Args:
        defaults: Name -> options that hold where a request does not name the rule
            (``deploy.rules``); null leaves a built-in one out.

    Raises:
        InvalidInput: A default is wrong.
    """

    def __init__(self, defaults: Mapping[str, Any] | None = None) -> None:
        self._modules: dict[str, ModuleType] = {
            name: plugins.load(RULES, name) for name in plugins.names(RULES)
        }
        self._defaults: dict[str, Any] = {**BUILT_IN, **(defaults or {})}
        self.default = self._build({})
        self._cached = lru_cache(_KEPT)(self._read)

    def read(self, raw: bytes) -> RuleSet:
        """Return the rules of one row; empty: the defaults.

        Raises:
            InvalidInput: Names the field.
        """
        if not raw:
            return self.default
        return self._cached(raw) if len(raw) <= _KEPT_BYTES else self._read(raw)

    def _read(self, raw: bytes) -> RuleSet:
        if len(raw) > MAX_BYTES:
            raise InvalidInput(
                f"rules: {len(raw)} bytes are too many; allowed are {MAX_BYTES}. Send long lists "
                f"of items in allow or exclude."
            )
        try:
            text = raw.decode("utf-8")
            given = json.loads(text, parse_constant=_no_number, object_pairs_hook=_object)
        except RecursionError:
            raise InvalidInput("rules: objects are nested too deeply.") from None
        except ValueError as error:
            raise InvalidInput(f"rules: {shown(raw)} is not JSON ({str(error)!a}).") from None
        if not isinstance(given, dict):
            raise InvalidInput(
                f"rules: {shown(given)} is not an object; send for example "
                f'{{"cap": {{"attribute": "genre", "most": 2}}}}.'
            )
        return self._build(given)

    def _build(self, given: Mapping[str, Any]) -> RuleSet:
        wanted = {**self._defaults, **given}
        for name in wanted:
            if name not in self._modules:
                raise InvalidInput(
                    f"rules: {shown(name)} is no rule; rules are {', '.join(self._modules)}."
                )
        order = sorted(wanted, key=lambda name: self._modules[name].ORDER)
        options = {name: wanted[name] for name in order if wanted[name] is not None}
        rules = {
            name: self._modules[name].parse(Options(f"rules.{name}", given))
            for name, given in options.items()
        }
        return RuleSet(rules, options, frozenset(wanted))


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key occurs twice")
    return found
