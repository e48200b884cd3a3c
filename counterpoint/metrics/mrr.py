"""Mean reciprocal rank: one over the place of the first target, 0 beyond k (Voorhees, 1999)."""

import numpy as np
import numpy.typing as npt

from counterpoint.metrics._ranking import Ranking

greater_is_better = True


def per_user(ranking: Ranking) -> npt.NDArray[np.float64]:
    """(U,) reciprocal rank of the first hit."""
    hits = ranking.hits
    return np.where(hits.any(axis=1), 1 / (hits.argmax(axis=1) + 1), 0.0)
