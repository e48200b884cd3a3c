"""EASE: a linear item-item model in closed form (Steck, 2019), hard to beat on dense data."""

from pydantic import Field

from counterpoint.baselines._linear import ItemWeights, frequent_items, gram, solve
from counterpoint.config.base import Section
from counterpoint.histories import Histories, Scorer

GRID = ({"l2": (200.0, 25.0, 50.0, 100.0, 400.0, 800.0)},)


class Config(Section):
    """Options; the defaults are the best of a small grid on MovieLens-100K validation."""

    l2: float = Field(default=200.0, gt=0)
    """Ridge penalty."""

    max_items: int = Field(default=8_000, ge=1)
    """Only the most liked items enter the dense solve (memory grows with the square)."""


def fit(train: Histories, *, n_items: int, config: Config) -> Scorer:
    """Solve for the item-item weights."""
    frequent = frequent_items(train, n_items=n_items, max_items=config.max_items)
    counts = gram(train, frequent, n_items=n_items)
    return ItemWeights(solve(counts, config.l2), frequent, n_items)
