"""Novelty: mean self-information of the recommended items (Vargas and Castells, 2011)."""

import numpy as np
import numpy.typing as npt

from counterpoint.metrics._ranking import Ranking

greater_is_better = True


def per_user(ranking: Ranking) -> npt.NDArray[np.float64]:
    """(U,) mean of -log2(share of training users who liked the item), in bits.

    Items nobody liked count as liked by one, which bounds the value; an empty list gives NaN.
    """
    share = np.clip(ranking.popularity, 1, None) / max(1, ranking.n_train_users)
    bits = -np.log2(np.minimum(share, 1.0))[np.maximum(ranking.top, 0)]
    filled = ranking.filled
    with np.errstate(invalid="ignore"):
        return (bits * filled).sum(axis=1) / filled.sum(axis=1)
