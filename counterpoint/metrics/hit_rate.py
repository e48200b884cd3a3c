"""Hit rate: share of users with at least one target among the first k."""

import numpy as np
import numpy.typing as npt

from counterpoint.metrics._ranking import Ranking

greater_is_better = True


def per_user(ranking: Ranking) -> npt.NDArray[np.float64]:
    """(U,) 1 where there is a hit, else 0."""
    return np.asarray(ranking.hits.any(axis=1), dtype=np.float64)
