"""What follows what in the histories: the statistics of SLIST.

Choi, Kim, Lee, Shim and Lee, "Session-aware Linear Item-Item Models for Session-based
Recommendation" (WWW 2021). S and T have a row per place t of a history: S weighs its items up to t
by ``exp(-(t - i) / span)``, T those after t by ``exp(-(i - t) / span)``. Regressing T on S (SLIT)
learns which item follows which, the nearer the more; ``linear.solve`` joins it with the regression
of the history on itself (SLIS, EASE), as SLIST does.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from counterpoint.histories import Histories

NEGLIGIBLE = 1e-3
"""Pairs so far apart that their weight falls below this share are left out."""


@dataclass(frozen=True)
class Transitions:
    """Order statistics of the histories of a fit.

    Attributes:
        together: (M, M) S'S.
        followed: (M, M) S'T; row = earlier item.
    """

    together: sp.csr_matrix
    followed: sp.csr_matrix


def transitions(
    train: Histories, items: npt.NDArray[np.int64], *, n_items: int, span: float
) -> Transitions:
    """Add up the transitions of all histories, by their distance in positives.

    A pair of events with the second d positives after the first occurs in d rows of (S, T), each
    time with the product ``exp(-d / span)``; in S'S the rows from the later event to the last that
    has a future add up to a geometric series.

    Args:
        train: Histories; only positives count.
        items: (M,) catalogue indices that are covered, ascending.
        n_items: N.
        span: Decay length in positives.
    """
    position = np.full(n_items, -1, dtype=np.int64)
    position[items] = np.arange(len(items))
    liked = train.positive & (position[train.items] >= 0)
    owner, item = train.owners[liked], position[train.items[liked]]
    lengths = np.bincount(owner, minlength=len(train))
    left = np.cumsum(lengths)[owner] - 1 - np.arange(len(item))  # positives that follow
    fade = float(np.exp(-2.0 / span))
    rows = (1.0 - fade**left) / (1.0 - fade)
    shape = (len(items), len(items))
    together, followed = sp.csr_matrix(shape), sp.csr_matrix(shape)
    reach = int(np.ceil(-span * np.log(NEGLIGIBLE / max(span, 1.0))))
    for distance in range(min(int(lengths.max(initial=0)), reach + 1)):
        first = np.flatnonzero(left >= distance)
        second = first + distance
        cells = (item[first], item[second])
        weight = float(np.exp(-distance / span))
        both = sp.csr_matrix((weight * rows[second], cells), shape)
        together = together + (both if distance == 0 else both + both.T)
        if distance:
            moved = np.full(len(first), distance * weight)
            followed = followed + sp.csr_matrix((moved, cells), shape)
    return Transitions(together.astype(np.float32), followed.astype(np.float32))
