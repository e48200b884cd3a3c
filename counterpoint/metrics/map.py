"""Mean average precision truncated at k: normalised by min(k, number of targets)."""

import numpy as np
import numpy.typing as npt

from counterpoint.metrics._ranking import Ranking

greater_is_better = True


def per_user(ranking: Ranking) -> npt.NDArray[np.float64]:
    """(U,) average over the attainable hits of the precision at the place of each hit."""
    hits = ranking.hits
    precision = np.cumsum(hits, axis=1) / np.arange(1, ranking.k + 1)
    return (precision * hits).sum(axis=1) / np.minimum(ranking.n_targets, ranking.k)
