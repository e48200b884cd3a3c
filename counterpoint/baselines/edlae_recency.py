"""EDLAE with recency: denoising linear autoencoder (Steck, 2020) whose input favours late events.

The weights are those of EDLAE; only the history to score is weighted, by 1 + a * exp(-age / decay)
with age = number of the user's positives since. The strongest linear baseline on MovieLens.
"""

from dataclasses import replace

from pydantic import Field

from counterpoint.baselines import edlae
from counterpoint.baselines._linear import ItemWeights
from counterpoint.histories import Histories

GRID = (
    *edlae.GRID,
    {"recency": (4.0, 0.0, 1.0, 2.0, 8.0)},
    {"decay": (5.0, 2.0, 10.0, 20.0)},
)
SCORING = ("recency", "decay")


class Config(edlae.Config):
    """Options; the defaults are the best of a small grid on MovieLens-100K validation."""

    recency: float = Field(default=4.0, ge=0)
    """Strength a; 0 gives plain EDLAE."""

    decay: float = Field(default=5.0, gt=0)
    """In positives since the event."""


def fit(train: Histories, *, n_items: int, config: Config) -> ItemWeights:
    """Solve for the item-item weights."""
    plain = edlae.fit(train, n_items=n_items, config=config)
    return replace(plain, recency=config.recency, decay=config.decay)
