"""Extension point: one baseline recommender a file.

A baseline has ``class Config(Section)`` and ``fit(train, *, n_items, config)``, which
returns a Scorer. It learns from the positives of ``train`` and scores any histories, those of users
it never met included. Optional names of the file:

- ``GRID``: rounds of option -> values that ``counterpoint.baseline_tuning`` chooses from;
- ``SCORING``: options that change how a history is scored, not the fit; the scorer is then a
  dataclass with fields of these names;
- ``TRAINED = True``: fitted by gradient steps, so tuned only when asked for;
- ``TEXT = True``: ``fit`` also takes ``text``, the (N, T) unit vectors of the items' texts, zero
  where there is none; T is 0 for a catalogue without text.
"""

from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from counterpoint import plugins
from counterpoint.config.base import Section
from counterpoint.errors import ConfigError
from counterpoint.histories import Histories, Scorer

__all__ = ["configure", "fit", "load", "reads_text"]


def load(name: str) -> ModuleType:
    """Return the plugin.

    Raises:
        ConfigError: Unknown name; the message lists the known ones.
    """
    return plugins.load(__name__, name)


def reads_text(name: str) -> bool:
    """Whether ``fit`` of this baseline makes use of text vectors."""
    return bool(getattr(load(name), "TEXT", False))


def is_trained(name: str) -> bool:
    """Whether this baseline is fitted by gradient steps."""
    return bool(getattr(load(name), "TRAINED", False))


def configure(name: str, options: dict[str, Any]) -> Section:
    """Validate the options of one baseline.

    Raises:
        ConfigError: Unknown name or options; the message lists every fault and the known names.
    """
    plugin = load(name)
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


def fit(
    name: str,
    train: Histories,
    *,
    n_items: int,
    options: dict[str, Any],
    text: npt.NDArray[np.float32] | None = None,
) -> Scorer:
    """Fit one baseline by name.

    Args:
        name: Plugin.
        train: Histories to learn from.
        n_items: N.
        options: Of its ``Config``.
        text: (N, T) unit text vectors for the baselines that read text; None: there is no text.

    Raises:
        ConfigError: As ``configure``.
    """
    config = configure(name, options)
    more: dict[str, Any] = {}
    if reads_text(name):
        more["text"] = np.zeros((n_items, 0), dtype=np.float32) if text is None else text
    scorer: Scorer = load(name).fit(train, n_items=n_items, config=config, **more)
    return scorer
