"""Recent popularity: the most liked items of the last days before the newest training event."""

import numpy as np
from pydantic import Field

from counterpoint.baselines.popularity import DAY_US, Popularity
from counterpoint.config.base import Section
from counterpoint.histories import Histories

GRID = ({"window_days": (30.0, 3.0, 7.0, 14.0, 60.0, 90.0)},)


class Config(Section):
    """Options."""

    window_days: float = Field(default=30.0, gt=0)
    """Only events at most this long before the newest one count."""


def fit(train: Histories, *, n_items: int, config: Config) -> Popularity:
    """Count the positives of each item in the window."""
    newest = train.timestamps.max(initial=0)
    recent = train.timestamps >= newest - config.window_days * DAY_US
    counts = np.bincount(train.items[recent & train.positive], minlength=n_items)
    return Popularity(counts.astype(np.float32))
