"""Popularity: the most liked items, the same for everyone; optionally the most liked of late."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydantic import Field

from counterpoint.config.base import Section
from counterpoint.histories import Histories, Scorer

DAY_US = 86_400_000_000


class Config(Section):
    """Options."""

    half_life_days: float | None = Field(default=None, gt=0)
    """An event counts half as much this long before the newest one; none: all count alike."""


@dataclass(frozen=True)
class Popularity:
    """The same scores for every history.

    Attributes:
        scores: (N,).
    """

    scores: npt.NDArray[np.float32]

    def score(self, histories: Histories) -> npt.NDArray[np.float32]:
        """(U, N) scores."""
        return np.tile(self.scores, (len(histories), 1))


def fit(train: Histories, *, n_items: int, config: Config) -> Scorer:
    """Count the (decayed) positives of each item."""
    weights = np.ones(len(train.items))
    if config.half_life_days is not None and len(train.items):
        days = (train.timestamps.max() - train.timestamps) / DAY_US
        weights = 0.5 ** (days / config.half_life_days)
    counts = np.bincount(train.items, weights=weights * train.positive, minlength=n_items)
    return Popularity(counts.astype(np.float32))
