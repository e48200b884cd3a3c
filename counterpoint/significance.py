"""A choice that does not follow noise."""

from collections.abc import Callable, Mapping
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Candidate = TypeVar("Candidate")

ERRORS = 2.0
"""Standard errors of the paired difference that count as noise. One is too few: on MovieLens-100K
gains of one to two errors on validation were lost again on test."""


def nearest_of_best(
    scores: Mapping[Candidate, npt.NDArray[np.float64]], distance: Callable[[Candidate], float]
) -> Candidate:
    """Return the candidate nearest to the start of those that are not clearly worse than the best.

    After the one-standard-error rule (Breiman, Friedman, Olshen and Stone, "Classification and
    Regression Trees", 1984), with ``ERRORS`` errors of the paired difference.

    Args:
        scores: Candidate -> (U,) score per user, the same users in the same order.
        distance: 0 at the start. Of equal distances the better mean is taken.
    """
    best = max(scores, key=lambda candidate: scores[candidate].mean())
    first = min(scores, key=distance)
    near = [best]
    for candidate, values in scores.items():
        gap = scores[best] - values
        error = gap.std(ddof=1) / np.sqrt(len(gap)) if len(gap) > 1 else np.inf
        # A noisy candidate is near anything; it must not replace a start that is better than it.
        if gap.mean() <= ERRORS * error and values.mean() >= scores[first].mean():
            near.append(candidate)
    return min(near, key=lambda c: (distance(c), -scores[c].mean()))
