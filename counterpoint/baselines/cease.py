"""CEASE: EASE whose Gram matrix holds side information (Jeunen, Van Balen and Goethals, 2020).

Adding w * K with K the cosine kernel of the items' texts is adding one pseudo-user per text
dimension: it ties together items that read alike. Denoising and recency as in ``edlae_recency``.
"""

import numpy as np
import numpy.typing as npt
from pydantic import Field

from counterpoint.baselines import edlae_recency
from counterpoint.baselines._linear import (
    ItemWeights,
    denoising_penalty,
    frequent_items,
    gram,
    solve,
)
from counterpoint.histories import Histories

TEXT = True
GRID = (
    {"l2": (200.0, 100.0, 400.0)},
    {"text_weight": (30.0, 3.0, 10.0, 100.0)},
    {"dropout": (0.33, 0.1, 0.5)},
    {"recency": (0.0, 1.0, 2.0, 4.0, 8.0)},
    {"decay": (5.0, 2.0, 10.0, 20.0)},
)
SCORING = edlae_recency.SCORING


class Config(edlae_recency.Config):
    """Options; without text vectors this is ``edlae_recency``."""

    text_weight: float = Field(default=30.0, ge=0)
    """Weight w of the text kernel in the Gram matrix."""

    recency: float = Field(default=0.0, ge=0)
    """Strength a of the recency; 0 is CEASE as published."""


def fit(
    train: Histories, *, n_items: int, config: Config, text: npt.NDArray[np.float32]
) -> ItemWeights:
    """Solve for the item-item weights."""
    frequent = frequent_items(train, n_items=n_items, max_items=config.max_items)
    counts = gram(train, frequent, n_items=n_items)
    penalty = denoising_penalty(counts, l2=config.l2, dropout=config.dropout)
    counts += np.float32(config.text_weight) * (text[frequent] @ text[frequent].T)
    weights = solve(counts, penalty)
    return ItemWeights(weights, frequent, n_items, recency=config.recency, decay=config.decay)
