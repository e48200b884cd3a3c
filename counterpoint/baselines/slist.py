"""SLIST: closed-form item-item weights from co-occurrence and order (Choi et al., WWW 2021).

With X the histories, and S, T what came before and after each place (``counterpoint.slist``):

    min_B  a |X - X B|^2 + (1 - a) |T - S B|^2 + l2 |B|^2,   diag(B) <= 0
    P = (a X'X + (1 - a) S'S + l2 I)^-1
    B = I - (1 - a) P (S'S - S'T) - P diag(g)

g is l2 where the diagonal of the unconstrained B is not positive, and what makes it zero otherwise.
At scoring time an event weighs exp(-age / decay).
"""

import numpy as np
import numpy.typing as npt
import scipy.linalg
from pydantic import Field

from counterpoint.baselines._linear import ItemWeights, frequent_items, gram
from counterpoint.config.base import Section
from counterpoint.histories import Histories
from counterpoint.slist import Transitions, transitions

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
    """Solve for the item-item weights."""
    frequent = frequent_items(train, n_items=n_items, max_items=config.max_items)
    counts = gram(train, frequent, n_items=n_items)
    moves = transitions(train, frequent, n_items=n_items, span=config.span)
    weights = solve(counts, moves, share=config.share, l2=config.l2)
    return ItemWeights(weights, frequent, n_items, base=0.0, recency=1.0, decay=config.decay)


def solve(
    counts: npt.NDArray[np.float32], moves: Transitions, *, share: float, l2: float
) -> npt.NDArray[np.float32]:
    """Return (M, M) B.

    Args:
        counts: (M, M) X'X.
        moves: S'S and S'T.
        share: a.
        l2: Ridge.
    """
    if not len(counts):
        return np.zeros((0, 0), dtype=np.float32)
    system = share * counts.astype(np.float64)
    system += (1 - share) * moves.together
    system[np.diag_indices_from(system)] += l2
    inverse = scipy.linalg.inv(system, overwrite_a=True, check_finite=False)
    moved = (1 - share) * (inverse @ (moves.together - moves.followed))
    own, diagonal = 1 - np.diag(moved), np.diag(inverse)
    penalty = np.where(own - l2 * diagonal > 0, own / diagonal, l2)
    weights = -moved - inverse * penalty
    weights[np.diag_indices_from(weights)] += 1
    return np.asarray(weights, dtype=np.float32)
