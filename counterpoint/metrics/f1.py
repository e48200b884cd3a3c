"""F1: harmonic mean of a user's precision and recall, 0 where there is no hit."""

import numpy as np
import numpy.typing as npt

from counterpoint.metrics._ranking import Ranking

greater_is_better = True


def per_user(ranking: Ranking) -> npt.NDArray[np.float64]:
    """(U,) 2 * hits / (k + number of targets), which equals 2PR / (P + R)."""
    return 2 * ranking.hits.sum(axis=1) / (ranking.k + ranking.n_targets)
