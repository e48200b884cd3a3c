"""A start page that is not one genre: popular items in an order in which neighbours differ.

Maximal marginal relevance (Carbonell and Goldstein 1998) on the log popularity b: the next item is
the one with the greatest ``b_i - strength * max_j cos(i, j)`` over the items j placed before. The
strength therefore is a log ratio: at 0.7 a perfect double of an earlier item must have twice the
likes of an item like no other to go before it. The result is a permutation of the popularities, so
the graph stays a lookup and the scale of the prior stays what it was.
"""

import numpy as np
import numpy.typing as npt

DEPTH = 100
"""Places that are arranged; the order behind them stays."""


def diversified(
    base: npt.NDArray[np.float32],
    features: npt.NDArray[np.float32],
    *,
    strength: float,
    depth: int = DEPTH,
) -> npt.NDArray[np.float32]:
    """Return the popularities dealt out anew, so that their order is a diverse start page.

    Args:
        base: (N,) log popularity.
        features: (N, F) of ``cold.item_features``; items without any are like no other.
        strength: 0 changes nothing.
        depth: First places to arrange, of the items that the first 2 x depth places hold.

    Returns:
        (N,) permutation of ``base``.
    """
    if not strength or not len(base):
        return base
    order = np.argsort(-base, kind="stable")
    pool = order[: 2 * depth]
    length = np.linalg.norm(features[pool], axis=1, keepdims=True)
    unit = features[pool] / np.maximum(length, 1e-12)
    worth = base[pool].astype(np.float64)
    nearest = np.zeros(len(pool))
    left = np.ones(len(pool), dtype=bool)
    placed = []
    for _ in range(min(depth, len(pool))):
        best = int(np.argmax(np.where(left, worth - strength * nearest, -np.inf)))
        placed.append(best)
        left[best] = False
        nearest = np.maximum(nearest, unit @ unit[best])
    out = base.copy()
    out[pool[[*placed, *np.flatnonzero(left)]]] = base[pool]
    return out
