"""The pipelines by name, and the arguments they share."""

from kfp import dsl

from counterpoint.config import Config
from counterpoint.errors import ConfigError
from pipelines import monitoring, training

PIPELINES = {"training": training, "monitoring": monitoring}


def build(name: str, config: Config) -> dsl.graph_component.GraphComponent:
    """Build a pipeline.

    Raises:
        ConfigError: The name is unknown.
    """
    if name not in PIPELINES:
        raise ConfigError([f"Unknown pipeline {name!r}. Known: {', '.join(PIPELINES)}."])
    return PIPELINES[name].build(config)


def arguments(name: str, config: Config) -> dict[str, dict]:
    """The sections as arguments, whole, since an argument replaces its default entirely."""
    values = training.sections(config)
    return {f"{section}_config": values[section] for section in PIPELINES[name].SECTIONS}
