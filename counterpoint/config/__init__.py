"""The typed, frozen configuration tree. Imports no torch, so that pipelines compile quickly.

Precedence: field default < YAML files in order < ``key=value`` overrides. No secret stands here.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from counterpoint.config.base import Section
from counterpoint.config.cluster import ClusterConfig
from counterpoint.config.evaluate import EvaluateConfig, GateConfig
from counterpoint.config.features import FeaturesConfig, SplitConfig
from counterpoint.config.ingest import IngestConfig
from counterpoint.config.monitor import MonitorConfig
from counterpoint.config.serve import DeployConfig, ExportConfig
from counterpoint.config.train import TrainConfig
from counterpoint.config.validation import ValidationConfig
from counterpoint.errors import ConfigError

__all__ = [
    "ClusterConfig",
    "Config",
    "DeployConfig",
    "EvaluateConfig",
    "ExportConfig",
    "FeaturesConfig",
    "GateConfig",
    "IngestConfig",
    "MonitorConfig",
    "SplitConfig",
    "TrainConfig",
    "ValidationConfig",
    "load",
]


class Config(Section):
    """One section per stage, a parameter of the pipelines each; ``cluster`` is for compiling."""

    ingest: IngestConfig = IngestConfig()
    validation: ValidationConfig = ValidationConfig()
    features: FeaturesConfig = FeaturesConfig()
    train: TrainConfig = TrainConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    gate: GateConfig = GateConfig()
    export: ExportConfig = ExportConfig()
    deploy: DeployConfig = DeployConfig()
    monitor: MonitorConfig = MonitorConfig()
    cluster: ClusterConfig = ClusterConfig()


def merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Return ``base`` with ``over`` laid upon it, section by section."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        if isinstance(below, dict) and isinstance(value, dict):
            merged[key] = merge(below, value)
        else:
            merged[key] = value
    return merged


def load(files: Iterable[Path] = (), overrides: Sequence[str] = ()) -> Config:
    """Build the configuration from YAML files and ``section.key=value`` overrides.

    Raises:
        ConfigError: Lists every fault: unreadable files, unknown keys, values out of range.
    """
    tree: dict[str, Any] = {}
    faults: list[str] = []
    for path in files:
        try:
            content = yaml.safe_load(Path(path).read_text("utf-8")) or {}
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            faults.append(f"Configuration file {path} cannot be read: {error}")
            continue
        if not isinstance(content, dict):
            faults.append(f"Configuration file {path} must hold a mapping of sections.")
            continue
        tree = merge(tree, content)
    for override in overrides:
        key, separator, value = override.partition("=")
        if not separator:
            faults.append(f"Override {override!r} must look like section.key=value.")
            continue
        node: Any = yaml.safe_load(value) if value else value
        parts = key.split(".")
        for part in reversed(parts):
            node = {part: node}
        tree = merge(merge(tree, _table_defaults(parts, tree)), node)
    try:
        config = Config.model_validate(tree)
    except ValidationError as error:
        faults.extend(_explain(error, tree))
        raise ConfigError(faults) from None
    if faults:
        raise ConfigError(faults)
    return config


def _table_defaults(parts: Sequence[str], tree: dict[str, Any]) -> dict[str, Any]:
    """Return the default of the table of plugins an override reaches into, if none is given yet.

    So ``train.objectives.two_view.weight=0.1`` adds to the table, while a table that is given as a
    whole replaces it.
    """
    section: Any = Config
    given: Any = tree
    for depth, part in enumerate(parts[:-1]):
        field = getattr(section, "model_fields", {}).get(part)
        given = given.get(part) if isinstance(given, dict) else None
        if field is None:
            return {}
        if isinstance(field.default, dict):
            node: Any = {} if given is not None else field.default
            for above in reversed(parts[: depth + 1]):
                node = {above: node}
            return dict(node)
        section = field.annotation
    return {}


def _explain(error: ValidationError, tree: dict[str, Any]) -> list[str]:
    """One sentence per fault, with the known names where a key is unknown."""
    lines = []
    for fault in error.errors():
        where = ".".join(str(part) for part in fault["loc"])
        if fault["type"] == "extra_forbidden":
            section: Any = Config
            for part in fault["loc"][:-1]:
                field = getattr(section, "model_fields", {}).get(part)
                section = field.annotation if field else None
            known = ", ".join(getattr(section, "model_fields", {}))
            lines.append(f"Unknown key {where!r}. Known here: {known}.")
        else:
            lines.append(f"{where} = {fault['input']!r}: {fault['msg']}.")
    return lines
