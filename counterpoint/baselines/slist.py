"""SLIST: closed-form item-item weights from co-occurrence and order (Choi et al., WWW 2021).

With X the histories, and S, T what came before and after each place (``counterpoint.slist``):

    min_B  a |X - X B|^2 + (1 - a) |T - S B|^2 + l2 |B|^2,   diag(B) <= 0
    P = (a X'X + (1 - a) S'S + l2 I)^-1
    B = I - (1 - a) P (S'S - S'T) - P diag(g)

g is l2 where the diagonal of the unconstrained B is not positive, and what makes it zero otherwise.
At scoring time an event weighs exp(-age / decay).
"""

import numpy as np
from pydantic import Field

from counterpoint.baselines._linear import ItemWeights
from counterpoint.config.base import Section
from counterpoint.config.linear import LinearForm
from counterpoint.histories import Histories
from counterpoint.linear import gram, solve

GRID = (
    {"l2": (500.0, 50.0, 200.0, 1000.0), "share": (0.5, 0.2, 0.8)},
    {"decay": (10.0, 3.0, 5.0, 20.0, 50.0)},
    {"span": (5.0, 2.0, 3.0, 8.0)},
)
SCORING = ("decay",)


class Config(Section):
    """Options; the defaults are the best of a small grid on MovieLens-100K validation."""

    l2: float = Field(default=500.0, gt=0)
    """Ridge penalty."""

    share: float = Field(default=0.5, gt=0, le=1)
    """a: share of the co-occurrence (SLIS); 1 - a is that of the order (SLIT)."""

    span: float = Field(default=5.0, gt=0)
    """Decay length of the order in training, in positives between the two items."""

    decay: float = Field(default=10.0, gt=0)
    """Decay length of the events at scoring time, in positives since."""

    max_items: int = Field(default=5_000, ge=1)
    """Only the most liked items enter the dense solve (memory grows with the square)."""


def fit(train: Histories, *, n_items: int, config: Config) -> ItemWeights:
    """Solve for the item-item weights; SLIST is a point of the family of linear.py."""
    no_text = np.zeros((n_items, 0), dtype=np.float32)
    liked = train.matrix(n_items, positive_only=True)
    statistics = gram(liked, no_text, train, max_items=config.max_items)
    form = LinearForm(share=config.share, span=config.span, l2=config.l2)
    weights = solve(statistics, form)[:-1, :-1]
    return ItemWeights(
        weights, statistics.items, n_items, base=0.0, recency=1.0, decay=config.decay
    )
