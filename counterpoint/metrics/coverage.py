"""Catalogue coverage: share of the catalogue that is recommended to anyone."""

import numpy as np

from counterpoint.metrics._ranking import Ranking

greater_is_better = True


def overall(ranking: Ranking) -> float:
    """Distinct items in all top-k lists over the number of items."""
    return float(len(np.unique(ranking.top[ranking.filled])) / len(ranking.popularity))
