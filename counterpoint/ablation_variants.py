"""What an ablation changes: one part of the model off or on, as overrides of the configuration."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import yaml
from pydantic import ValidationError

from counterpoint import plugins
from counterpoint.config import Config
from counterpoint.config.faults import explain
from counterpoint.errors import ConfigError

DEFAULT = "default"

WITHHOLDING = ("cold_items", "warm_and_cold")
"""Split protocols with new items in the test."""

SETTING = re.compile(r",(?=\s*[a-z_]+(?:\.[a-z0-9_]+)+=)")
"""A comma between two settings, not one inside a value such as ``[1.2, 10]``."""


@dataclass(frozen=True)
class Variant:
    """One row of the table.

    Attributes:
        name: Such as ``without text``.
        part: Which part of the model it asks about.
        overrides: Dotted key -> value; a mapping as value replaces the default's as a whole.
        protocols: Split protocols it is asked on; none: all.
    """

    name: str
    part: str
    overrides: Mapping[str, Any] = field(default_factory=dict)
    protocols: tuple[str, ...] = ()

    def apply(self, settings: Config) -> Config:
        """Return the configuration of this variant.

        Raises:
            ConfigError: A key is unknown or a value not allowed; lists every fault.
        """
        tree = settings.model_dump(mode="json")
        for key, value in self.overrides.items():
            *path, last = key.split(".")
            node = tree
            for place in path:
                inner = node.get(place)
                node[place] = node = dict(inner) if isinstance(inner, dict) else {}
            node[last] = value
        try:
            return Config.model_validate(tree)
        except ValidationError as error:
            raise ConfigError(
                f"Variant {self.name!r}: {fault}" for fault in explain(error, Config)
            ) from None


PARTS: tuple[Variant, ...] = (
    Variant("without text", "text", {"train.encoder.model": None}),
    Variant(
        "without order",
        "order",
        {"train.tower.pools": [], "train.linear.recency": [0.0]},
    ),
    Variant(
        "linear part alone",
        "fusion",
        {"train.fusion.tower_weights": [0.0], "train.fusion.fallback_tower_weight": 0.0},
    ),
    Variant(
        "without graph smoothing",
        "graph",
        {"train.tower.smoothing": 0.0, "train.tower.neighbours": 0},
    ),
    Variant("with a LightGCN graph", "graph", {"train.tower.graph": "lightgcn"}),
    Variant("with similar users", "graph", {"train.tower.user_smoothing": 0.3}),
    Variant(
        "with a fixed temperature", "temperature", {"train.tower.temperature_schedule": "fixed"}
    ),
    Variant(
        "without prior",
        "prior",
        {"train.prior.weights": [0.0], "train.prior.fallback_weight": 0.0},
    ),
    Variant("cold items by text alone", "cold", {"train.cold.max_attributes": 0}, WITHHOLDING),
    Variant(
        "without cold extension",
        "cold",
        {"train.encoder.model": None, "train.cold.max_attributes": 0},
        WITHHOLDING,
    ),
)
"""The parts of the default model, each switched off or over. A renamed setting is corrected here
alone."""


def declared(settings: Config) -> list[Variant]:
    """The whole grid: the default, every objective on or off, all at once, every part off.

    A plugin of counterpoint/objectives appears by itself: on, beside those of the default; those
    of the default go off one at a time, as long as one is left to train by.
    """
    return [Variant(DEFAULT, "all"), *_objectives(settings), *PARTS]


def _objectives(settings: Config) -> list[Variant]:
    chosen = settings.train.objectives
    known = plugins.names("counterpoint.objectives")
    table = "train.objectives"
    variants = []
    for name in known:
        if name not in chosen:
            variants.append(Variant(f"with {name}", "objectives", {table: {**chosen, name: {}}}))
        elif len(chosen) > 1:
            left = {other: options for other, options in chosen.items() if other != name}
            variants.append(Variant(f"without {name}", "objectives", {table: left}))
    everything = {**chosen, **{name: {} for name in known if name not in chosen}}
    for weights in ("uncertainty", "gradient"):
        if len(everything) > 1:
            overrides = {table: everything, "train.fit.task_weights": weights}
            variants.append(Variant(f"all objectives, {weights} weights", "objectives", overrides))
    return variants


def shown(overrides: Mapping[str, Any]) -> str:
    """The overrides in one line; of a table only the names."""
    pairs = (
        f"{key}={{{', '.join(value)}}}" if isinstance(value, Mapping) else f"{key}={value}"
        for key, value in overrides.items()
    )
    return ", ".join(pairs) or "nothing"


def parse(text: str) -> Variant:
    """Read a variant of the command line: ``name:train.key=value,train.key=value``.

    Raises:
        ConfigError: It has another form.
    """
    name, separator, settings = text.partition(":")
    pairs = [pair.partition("=") for pair in SETTING.split(settings)]
    if not (separator and name.strip()) or not all(sign and key.strip() for key, sign, _ in pairs):
        raise ConfigError(
            [f"Variant {text!r} must look like name:train.key=value,train.other.key=value."]
        )
    overrides = {key.strip(): yaml.safe_load(value) for key, _, value in pairs}
    return Variant(name.strip(), "own", overrides)


def select(variants: Iterable[Variant], patterns: Iterable[str]) -> list[Variant]:
    """Keep the default and the variants whose name or part matches a pattern (``with *``).

    Raises:
        ConfigError: A pattern matches nothing, or two variants have one name.
    """
    known = list(variants)
    names = [variant.name for variant in known]
    faults = [f"Two variants are called {n!r}." for n in sorted(set(names)) if names.count(n) > 1]
    wanted = list(patterns)
    for pattern in wanted:
        if not any(_matches(variant, pattern) for variant in known):
            faults.append(f"No variant is called {pattern!r}. Known: {', '.join(names)}.")
    if faults:
        raise ConfigError(faults)
    return [
        variant
        for variant in known
        if not wanted or variant.name == DEFAULT or any(_matches(variant, p) for p in wanted)
    ]


def _matches(variant: Variant, pattern: str) -> bool:
    return fnmatchcase(variant.name, pattern) or variant.part == pattern
