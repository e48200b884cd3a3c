"""Normalised discounted cumulative gain with binary relevance (Järvelin and Kekäläinen, 2002)."""

import numpy as np
import numpy.typing as npt

from counterpoint.metrics._ranking import Ranking

greater_is_better = True


def per_user(ranking: Ranking) -> npt.NDArray[np.float64]:
    """(U,) DCG over the best DCG possible, whose list is truncated at min(k, number of targets)."""
    discounts = 1 / np.log2(np.arange(2, ranking.k + 2))
    best = np.concatenate([[0.0], np.cumsum(discounts)])
    return (ranking.hits @ discounts) / best[np.minimum(ranking.n_targets, ranking.k)]
