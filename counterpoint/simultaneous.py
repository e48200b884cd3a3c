"""Many paired comparisons at once: bootstrap intervals, and p-values corrected for their number.

Of twenty comparisons without any true difference, one has a 95% interval that excludes 0. The
corrected p-values are those of the step-down maximum-t procedure (Westfall and Young, 1993; Romano
and Wolf, Econometrica 2005): users are resampled jointly for all comparisons, and a comparison's
studentised mean is held against the bootstrap distribution of the largest among itself and all less
extreme ones. Comparisons that move together, as slices and methods do, are thus not counted as
independent, which Holm's correction would do.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from counterpoint.bootstrap import MAX_DRAWN

FEWEST = 5
"""With fewer users than this a comparison has no interval and no p-value: resampling three users
says nothing about a fourth."""

MAX_UNITS = 20_000
"""More users are bagged at random into this many groups, which are resampled in their place: means
over random groups have the same variance as means over users."""


@dataclass(frozen=True)
class Comparisons:
    """C comparisons; all fields (C,), NaN where undefined.

    Attributes:
        mean: Mean difference.
        low: Lower bound of the percentile interval, not corrected.
        high: Upper bound.
        p: Two-sided bootstrap p-value of no difference.
        p_corrected: The same, corrected for all C comparisons.
        users: Users with a difference.
    """

    mean: npt.NDArray[np.float64]
    low: npt.NDArray[np.float64]
    high: npt.NDArray[np.float64]
    p: npt.NDArray[np.float64]
    p_corrected: npt.NDArray[np.float64]
    users: npt.NDArray[np.int64]


def compare(
    differences: npt.NDArray[np.float64], *, resamples: int, confidence: float, seed: int
) -> Comparisons:
    """Bootstrap the means of all columns together.

    Args:
        differences: (U, C) difference of each user in each comparison; NaN where a user has none.
        resamples: Number of bootstrap samples.
        confidence: Coverage of each interval on its own.
        seed: Equal seeds and numbers of users resample the same users.
    """
    users = (~np.isnan(differences)).sum(axis=0)
    fit = users >= FEWEST
    mean = np.full(differences.shape[1], np.nan)
    mean[users > 0] = np.nanmean(differences[:, users > 0], axis=0)
    low, high, p, p_corrected = (np.full(len(users), np.nan) for _ in range(4))
    if fit.any():
        means = _resampled_means(differences[:, fit], resamples, seed)
        tail = (1 - confidence) / 2
        low[fit], high[fit] = np.nanquantile(means, [tail, 1 - tail], axis=0)
        p[fit], p_corrected[fit] = _p_values(mean[fit], means)
    return Comparisons(mean, low, high, p, p_corrected, users)


def _resampled_means(
    differences: npt.NDArray[np.float64], resamples: int, seed: int
) -> npt.NDArray[np.float64]:
    """(resamples, C) means; NaN where a sample holds none of a comparison's users."""
    rng = np.random.default_rng(seed)
    known = ~np.isnan(differences)
    # Comparisons over the same users share their counts.
    masks, which = np.unique(known, axis=1, return_inverse=True)
    n_comparisons = differences.shape[1]
    totals = np.concatenate([np.where(known, differences, 0.0), masks], axis=1)
    if len(totals) > MAX_UNITS:
        edges = np.linspace(0, len(totals), MAX_UNITS + 1).astype(np.int64)[:-1]
        totals = np.add.reduceat(totals[rng.permutation(len(totals))], edges)
    n = len(totals)
    step = max(1, MAX_DRAWN // n)
    means = np.empty((resamples, n_comparisons))
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        drawn = rng.integers(0, n, size=(rows, n)) + n * np.arange(rows)[:, None]
        times = np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n)
        sums = times @ totals
        with np.errstate(invalid="ignore", divide="ignore"):
            means[start : start + rows] = (
                sums[:, :n_comparisons] / sums[:, n_comparisons:][:, which.ravel()]
            )
    return means


def _p_values(
    mean: npt.NDArray[np.float64], means: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """(C,) p-values alone and corrected, from the centred and studentised bootstrap means."""
    error = np.nanstd(means, axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        observed = np.abs(mean) / error
        # What never varies differs for certain, or not at all.
        observed = np.where(error > 0, observed, np.where(mean == 0, 0.0, np.inf))
        null = np.where(error > 0, np.abs(means - mean) / error, 0.0)
    null = np.nan_to_num(null)
    n = len(means) + 1
    alone = (1 + (null >= observed).sum(axis=0)) / n
    order = np.argsort(-observed, kind="stable")
    largest = np.maximum.accumulate(null[:, order[::-1]], axis=1)[:, ::-1]
    stepped = (1 + (largest >= observed[order]).sum(axis=0)) / n
    corrected = np.empty_like(alone)
    corrected[order] = np.maximum.accumulate(stepped)
    return alone, corrected
