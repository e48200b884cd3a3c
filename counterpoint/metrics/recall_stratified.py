"""Popularity-stratified recall (Steck, RecSys 2011): a rare target counts more than a popular one.

Every found target counts popularity ** -0.5, over the same sum for all targets: the same weights as
ndcg_debiased, without regard to the place in the list.
"""

import numpy as np
import numpy.typing as npt

from counterpoint.metrics._ranking import Ranking
from counterpoint.metrics.ndcg_debiased import weights

greater_is_better = True


def per_user(ranking: Ranking) -> npt.NDArray[np.float64]:
    """(U,) weight of the hits over the weight of the targets."""
    worth = weights(ranking.popularity)
    found = (ranking.hits * worth[np.maximum(ranking.top, 0)]).sum(axis=1)
    return np.asarray(found / (ranking.targets @ worth))
