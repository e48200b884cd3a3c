"""The objectives a configuration names, checked and built."""

from types import ModuleType
from typing import Any

import torch
from pydantic import ValidationError

from counterpoint import plugins
from counterpoint.config.train import TrainConfig
from counterpoint.errors import ConfigError
from counterpoint.objectives._objective import ObjectiveContext
from counterpoint.trainer import WeightedObjective

OBJECTIVES = "counterpoint.objectives"


def load(config: TrainConfig) -> dict[str, tuple[ModuleType, Any]]:
    """Return name -> (plugin, checked options) of the configured objectives.

    Raises:
        ConfigError: Lists every unknown objective and every unknown or wrong option.
    """
    found: dict[str, tuple[ModuleType, Any]] = {}
    faults = [] if config.objectives else ["train.objectives is empty: name at least one."]
    for name, options in config.objectives.items():
        try:
            plugin = plugins.load(OBJECTIVES, name)
            found[name] = (plugin, plugin.Config.model_validate(options))
        except ConfigError as error:
            faults += error.faults
        except ValidationError as error:
            known = ", ".join(plugin.Config.model_fields)
            faults += [
                f"train.objectives.{name}.{'.'.join(map(str, fault['loc']))} = "
                f"{fault['input']!r}: {fault['msg']}. Known options: {known}."
                for fault in error.errors()
            ]
    if faults:
        raise ConfigError(faults)
    return found


def build(config: TrainConfig, context: ObjectiveContext) -> dict[str, WeightedObjective]:
    """Build the configured objectives; their initial parameters depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return {
            name: (settings.weight, plugin.build(settings, context))
            for name, (plugin, settings) in load(config).items()
        }
