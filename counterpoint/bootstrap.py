"""Bootstrap confidence intervals of means over users (Efron, 1979), percentile method.

Users are the unit that is resampled: their lists are independent, the places of one list are not.
Comparisons resample the per-user differences, which removes the spread between users.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

MAX_DRAWN = 4_000_000
"""Indices drawn at once; bounds memory at about 64 MB."""


@dataclass(frozen=True)
class Interval:
    """A mean over ``users`` with its confidence bounds; all NaN if nobody has a value."""

    mean: float
    low: float
    high: float
    users: int


def mean_interval(
    values: npt.NDArray[np.float64], *, resamples: int, confidence: float, seed: int
) -> Interval:
    """Return mean and percentile interval of a per-user vector; NaN entries are left out.

    Args:
        values: (U,) one value per user.
        resamples: Number of bootstrap samples.
        confidence: Coverage, such as 0.95.
        seed: Equal seeds and lengths resample the same users, so results are reproducible.
    """
    kept = values[~np.isnan(values)]
    n = len(kept)
    if n == 0:
        return Interval(float("nan"), float("nan"), float("nan"), 0)
    rng = np.random.default_rng(seed)
    means = np.empty(resamples)
    step = max(1, MAX_DRAWN // n)
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        means[start : start + rows] = kept[rng.integers(0, n, size=(rows, n))].mean(axis=1)
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Interval(float(kept.mean()), float(low), float(high), n)


def paired_interval(
    candidate: npt.NDArray[np.float64],
    reference: npt.NDArray[np.float64],
    *,
    resamples: int,
    confidence: float,
    seed: int,
) -> Interval:
    """Return the interval of the mean of ``candidate - reference`` over the same users.

    Raises:
        ValueError: The vectors are not of the same users.
    """
    if candidate.shape != reference.shape:
        raise ValueError(
            f"Paired vectors must be of the same users: {candidate.shape} and {reference.shape}."
        )
    return mean_interval(
        candidate - reference, resamples=resamples, confidence=confidence, seed=seed
    )
