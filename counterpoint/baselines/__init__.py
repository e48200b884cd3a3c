"""Extension point: one baseline recommender a file.

A baseline has ``class Config(Section)`` and ``fit(train, *, n_items, config)``, which
returns a Scorer. It learns from the positives of ``train`` and scores any histories.
"""

from typing import Any

from pydantic import ValidationError

from counterpoint import plugins
from counterpoint.config.base import Section
from counterpoint.errors import ConfigError
from counterpoint.histories import Histories, Scorer

__all__ = ["configure", "fit"]


def configure(name: str, options: dict[str, Any]) -> Section:
    """Validate the options of one baseline.

    Raises:
        ConfigError: Unknown name or options; the message lists every fault and the known names.
    """
    plugin = plugins.load(__name__, name)
    try:
        config: Section = plugin.Config.model_validate(options)
    except ValidationError as error:
        known = ", ".join(plugin.Config.model_fields) or "none"
        raise ConfigError(
            f"evaluate.baselines.{name}.{'.'.join(map(str, fault['loc']))} = {fault['input']!r}: "
            f"{fault['msg']}. Known options: {known}."
            for fault in error.errors()
        ) from None
    return config


def fit(name: str, train: Histories, *, n_items: int, options: dict[str, Any]) -> Scorer:
    """Fit one baseline by name.

    Raises:
        ConfigError: As ``configure``.
    """
    config = configure(name, options)
    scorer: Scorer = plugins.load(__name__, name).fit(train, n_items=n_items, config=config)
    return scorer
