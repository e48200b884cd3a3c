"""Extension point: one ranking metric a file.

A metric declares ``greater_is_better`` and one of two functions on a ``Ranking``:
``per_user(ranking) -> (U,)`` (NaN where undefined; the value is the mean of the rest) or
``overall(ranking) -> float``. A metric is asked for by name, at another depth as ``recall@20``.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from counterpoint import plugins
from counterpoint.errors import ConfigError
from counterpoint.metrics._ranking import EMPTY, Ranking, top_matrix

__all__ = [
    "EMPTY",
    "Measured",
    "Ranking",
    "greater_is_better",
    "measure",
    "parse",
    "top_matrix",
]


@dataclass(frozen=True)
class Measured:
    """A metric's value and, where it has one, its vector over users."""

    value: float
    per_user: npt.NDArray[np.float64] | None


def parse(name: str, *, k: int) -> tuple[str, int]:
    """Split ``recall@20`` into plugin and depth; without a depth, ``k``.

    Raises:
        ConfigError: The depth is not a positive whole number.
    """
    plugin, separator, depth = name.partition("@")
    if not separator:
        return plugin, k
    if not depth.isdecimal() or int(depth) < 1:
        raise ConfigError(
            [f"Metric {name!r} has the depth {depth!r}; a whole number from 1 is allowed."]
        )
    return plugin, int(depth)


def greater_is_better(name: str) -> bool:
    """Whether a larger value of the metric is the better one.

    Raises:
        ConfigError: Unknown metric or a malformed depth.
    """
    return bool(plugins.load(__name__, parse(name, k=1)[0]).greater_is_better)


def measure(name: str, ranking: Ranking, *, k: int) -> Measured:
    """Compute one metric; ``ranking`` must be at least as deep as the metric asks.

    Over no users every metric is NaN, never 0.

    Raises:
        ConfigError: Unknown metric (the message lists the known ones) or a malformed depth.
    """
    plugin, depth = parse(name, k=k)
    metric = plugins.load(__name__, plugin)
    if not len(ranking.top):
        return Measured(float("nan"), None if hasattr(metric, "overall") else np.empty(0))
    cut = ranking.at(depth)
    if hasattr(metric, "overall"):
        return Measured(metric.overall(cut), None)
    vector = metric.per_user(cut)
    defined = vector[~np.isnan(vector)]
    return Measured(float(defined.mean()) if len(defined) else float("nan"), vector)
