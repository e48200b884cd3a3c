"""NDCG with inverse propensity weights: what a hit is worth does not depend on exposure.

Popular items are observed as liked more often than they are liked, so the plain mean over observed
targets rewards popularity (Yang et al., RecSys 2018). Each target counts 1 / p, with the propensity
p proportional to popularity ** 0.5 (a milder power than theirs, which keeps the variance in bounds)
and the weights normalised within a user (SNIPS: Swaminathan and Joachims, NeurIPS 2015), so that
the unknown constant of p cancels: DCG / ideal DCG, both with gains 1 / p.
"""

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from counterpoint.metrics._ranking import Ranking

greater_is_better = True

POWER = 0.5


def weights(popularity: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """(N,) inverse propensities; an item nobody liked in training counts as liked by one."""
    return np.asarray(np.maximum(popularity, 1) ** -POWER, dtype=np.float64)


def per_user(ranking: Ranking) -> npt.NDArray[np.float64]:
    """(U,) discounted weights of the hits over those of the best list of k targets."""
    worth = weights(ranking.popularity)
    discounts = 1 / np.log2(np.arange(2, ranking.k + 2))
    gained = (ranking.hits * worth[np.maximum(ranking.top, 0)]) @ discounts
    return np.asarray(gained / _best(ranking.targets, worth, discounts))


def _best(
    targets: sp.csr_matrix, worth: npt.NDArray[np.float64], discounts: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """(U,) discounted weights of each user's heaviest targets, heaviest first."""
    n_users = targets.shape[0]
    owner = np.repeat(np.arange(n_users), np.diff(targets.indptr))
    weight = worth[targets.indices]
    order = np.lexsort((-weight, owner))
    place = np.arange(len(owner)) - targets.indptr[:-1][owner]
    inside = place < len(discounts)
    gains = weight[order][inside] * discounts[place[inside]]
    return np.asarray(np.bincount(owner[inside], gains, minlength=n_users), dtype=np.float64)
