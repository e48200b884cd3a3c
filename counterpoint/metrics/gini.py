"""Gini index of exposure: how unequally the recommendations fall on the catalogue."""

import numpy as np

from counterpoint.metrics._ranking import Ranking

greater_is_better = False


def overall(ranking: Ranking) -> float:
    """0 if every item is recommended equally often, towards 1 if one item gets everything."""
    n_items = len(ranking.popularity)
    exposure = np.sort(np.bincount(ranking.top[ranking.filled], minlength=n_items))
    if not exposure.sum():
        return float("nan")
    weights = 2 * np.arange(1, n_items + 1) - n_items - 1
    return float((weights * exposure).sum() / (n_items * exposure.sum()))
