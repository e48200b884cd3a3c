"""Precision: share of the k places that hold a target; unfilled places count as misses."""

import numpy as np
import numpy.typing as npt

from counterpoint.metrics._ranking import Ranking

greater_is_better = True


def per_user(ranking: Ranking) -> npt.NDArray[np.float64]:
    """(U,) hits over k."""
    return ranking.hits.mean(axis=1)
