"""Intra-list diversity: how different the items of one list are (Ziegler et al., 2005)."""

import numpy as np
import numpy.typing as npt

from counterpoint.metrics._ranking import Ranking

greater_is_better = True


def per_user(ranking: Ranking) -> npt.NDArray[np.float64]:
    """(U,) mean Jaccard distance of the attribute sets over all pairs of a user's items.

    Pairs of which an item has no attributes are left out; NaN where no pair is left.
    """
    tokens = ranking.attributes.astype(np.float64)
    sizes = np.asarray(tokens.sum(axis=1)).ravel()
    top = np.maximum(ranking.top, 0)
    described = ranking.filled & (sizes[top] > 0)
    total = np.zeros(len(top))
    pairs = np.zeros(len(top))
    # One pair of places at a time keeps memory at (U, tokens per item) for any vocabulary.
    for i in range(ranking.k):
        left = tokens[top[:, i]]
        for j in range(i + 1, ranking.k):
            shared = np.asarray(left.multiply(tokens[top[:, j]]).sum(axis=1)).ravel()
            union = sizes[top[:, i]] + sizes[top[:, j]] - shared
            both = described[:, i] & described[:, j]
            total += np.where(both, 1 - shared / np.maximum(union, 1), 0.0)
            pairs += both
    with np.errstate(invalid="ignore"):
        return total / pairs
