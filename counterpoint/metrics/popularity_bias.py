"""Popularity bias: average popularity percentile of what is recommended (ARP on percentiles).

The raw average popularity (Yin et al., 2012) grows with the data; percentiles compare across sizes.
"""

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from counterpoint.metrics._ranking import Ranking

greater_is_better = False


def per_user(ranking: Ranking) -> npt.NDArray[np.float64]:
    """(U,) mean popularity percentile in (0, 1] of a user's items; 0.5 is random, 1 the top hit."""
    percentile = rankdata(ranking.popularity, method="average") / len(ranking.popularity)
    filled = ranking.filled
    with np.errstate(invalid="ignore"):
        return (percentile[np.maximum(ranking.top, 0)] * filled).sum(axis=1) / filled.sum(axis=1)
