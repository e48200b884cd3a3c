"""EDLAE with recency: denoising linear autoencoder (Steck, 2020) whose input favours late events.

The weights are those of EDLAE; only the history to score is weighted, by 1 + a * exp(-age / decay)
with age = number of the user's positives since. The strongest linear baseline on MovieLens.
"""

import numpy as np
from pydantic import Field

from counterpoint.baselines._linear import ItemWeights, frequent_items, solve
from counterpoint.config.base import Section
from counterpoint.histories import Histories, Scorer


class Config(Section):
    """Options; the defaults are the best of a small grid on MovieLens-100K validation."""

    l2: float = Field(default=200.0, gt=0)
    """Ridge penalty of every row."""

    dropout: float = Field(default=0.33, ge=0, lt=1)
    """Dropout rate p of the denoising: adds p / (1 - p) * diag(Gram) to the penalty."""

    recency: float = Field(default=4.0, ge=0)
    """Strength a; 0 gives plain EDLAE."""

    decay: float = Field(default=5.0, gt=0)
    max_items: int = Field(default=8_000, ge=1)
    """Only the most liked items enter the dense solve (memory grows with the square)."""


def fit(train: Histories, *, n_items: int, config: Config) -> Scorer:
    """Solve for the item-item weights."""
    frequent = frequent_items(train, n_items=n_items, max_items=config.max_items)
    likes = train.matrix(n_items, positive_only=True)[:, frequent]
    gram = (likes.T @ likes).toarray()
    penalty = config.l2 + config.dropout / (1 - config.dropout) * np.diag(gram)
    return ItemWeights(
        solve(gram, penalty),
        frequent,
        n_items,
        recency=config.recency,
        decay=config.decay,
    )
