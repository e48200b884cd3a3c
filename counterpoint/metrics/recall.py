"""Recall: share of a user's targets found among the first k (all targets in the denominator)."""

import numpy as np
import numpy.typing as npt

from counterpoint.metrics._ranking import Ranking

greater_is_better = True


def per_user(ranking: Ranking) -> npt.NDArray[np.float64]:
    """(U,) hits over the number of targets."""
    return ranking.hits.sum(axis=1) / ranking.n_targets
