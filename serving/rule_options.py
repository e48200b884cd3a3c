"""Typed rules of a request, for the clients: ``rules=[Cap("genre", most=2), Mmr(weight=0.4)]``.

One class per rule of serving/rules; what a field means and allows is documented there and in
docs/serving.md. Fields left at None keep the rule's own default.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Literal


class RuleOptions:
    """Base of the typed rules; the rule's name is the class name in small letters."""

    @classmethod
    def rule(cls) -> str:
        """Return the name of the rule."""
        return cls.__name__.lower()

    def options(self) -> dict[str, Any]:
        """Return the options as the request carries them."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]
        return {name: _plain(value) for name, value in values.items() if value is not None}


@dataclass(frozen=True)
class Availability(RuleOptions):
    """Bars items that are not available at a moment; without ``at``, now (the default rule)."""

    at: datetime | None = None


@dataclass(frozen=True)
class Category(RuleOptions):
    """Only items with any of some attribute tokens, and with none of others."""

    any: Sequence[str] | None = None
    none: Sequence[str] | None = None


@dataclass(frozen=True)
class Rerank(RuleOptions):
    """The re-ranker's weight (0: its judgement moves nothing) and how many candidates it judges."""

    weight: float | None = None
    depth: int | None = None


@dataclass(frozen=True)
class Seen(RuleOptions):
    """What becomes of items of the history."""

    policy: Literal["exclude", "allow", "downrank"]
    penalty: float | None = None


@dataclass(frozen=True)
class Boost(RuleOptions):
    """Moves items, or all with an attribute token, by standard deviations of the scores."""

    items: Mapping[str, float] | None = None
    attributes: Mapping[str, float] | None = None


@dataclass(frozen=True)
class Mmr(RuleOptions):
    """Diversity by maximal marginal relevance."""

    weight: float | None = None
    depth: int | None = None


@dataclass(frozen=True)
class Dpp(RuleOptions):
    """Diversity by a determinantal point process."""

    weight: float | None = None
    depth: int | None = None


@dataclass(frozen=True)
class Xquad(RuleOptions):
    """Diversity over the values of an attribute."""

    attribute: str
    weight: float | None = None
    depth: int | None = None


@dataclass(frozen=True)
class Explore(RuleOptions):
    """Draws the order, with logged propensities."""

    temperature: float | None = None
    depth: int | None = None
    seed: int | None = None


@dataclass(frozen=True)
class Cap(RuleOptions):
    """At most ``most`` items of each value of an attribute."""

    attribute: str
    most: int


Rules = Sequence[RuleOptions] | Mapping[str, Mapping[str, Any] | None]
"""Typed rules, or the JSON object itself; null there leaves a default rule out."""


def encode(rules: Rules) -> str:
    """Return the JSON text of the tensor ``rules``; empty: the server's defaults."""
    if not rules:
        return ""
    if isinstance(rules, Mapping):
        return json.dumps(dict(rules), ensure_ascii=False)
    named = {rule.rule(): rule.options() for rule in rules}
    if len(named) < len(rules):
        raise ValueError("a rule occurs twice")
    return json.dumps(named, ensure_ascii=False)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return dict(value) if isinstance(value, Mapping) else value
