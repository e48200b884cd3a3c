"""EDLAE: EASE as a denoising autoencoder (Steck, 2020), whose ridge grows with popularity."""

from pydantic import Field

from counterpoint.baselines._linear import (
    ItemWeights,
    denoising_penalty,
    frequent_items,
    gram,
    solve,
)
from counterpoint.config.base import Section
from counterpoint.histories import Histories

GRID = ({"l2": (200.0, 50.0, 100.0, 400.0)}, {"dropout": (0.33, 0.1, 0.2, 0.5)})


class Config(Section):
    """Options; the defaults are the best of a small grid on MovieLens-100K validation."""

    l2: float = Field(default=200.0, gt=0)
    """Ridge penalty of every row."""

    dropout: float = Field(default=0.33, ge=0, lt=1)
    """Dropout rate p of the denoising: adds p / (1 - p) * diag(Gram) to the penalty."""

    max_items: int = Field(default=8_000, ge=1)
    """Only the most liked items enter the dense solve (memory grows with the square)."""


def fit(train: Histories, *, n_items: int, config: Config) -> ItemWeights:
    """Solve for the item-item weights."""
    frequent = frequent_items(train, n_items=n_items, max_items=config.max_items)
    counts = gram(train, frequent, n_items=n_items)
    penalty = denoising_penalty(counts, l2=config.l2, dropout=config.dropout)
    return ItemWeights(solve(counts, penalty), frequent, n_items)
