"""Whether the lists of the window are worse than those of the reference, and still calibrated."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from counterpoint.monitoring.quality import HITS, N_TARGETS, NDCG, TOP_SCORES
from counterpoint.monitoring.units import Floats


@dataclass(frozen=True)
class Drop:
    """Realised quality of the window against the reference.

    Attributes:
        reference: Mean NDCG@k of the reference users.
        expected: The same for users with as many targets as those of the window.
        current: Mean NDCG@k of the window's users.
        relative: (expected - current) / expected; negative if the window is better.
        low: Lower bound of the confidence interval of ``relative``.
        high: Upper bound.
        p_value: One-sided permutation p-value of a drop.
    """

    reference: float
    expected: float
    current: float
    relative: float
    low: float
    high: float
    p_value: float


def drop(
    reference: pl.DataFrame, current: pl.DataFrame, *, draws: int, confidence: float, seed: int
) -> Drop:
    """Compare NDCG between the users of two tables of ``realised``.

    Users with many targets have a higher NDCG whatever the model does, so both sides are compared
    at equal numbers of targets (``detrended``).

    Args:
        reference: Users of the evaluation.
        current: Users of the window.
        draws: Permutations and bootstrap samples.
        confidence: Of the interval.
        seed: Of both.
    """
    before, after = detrended(reference, current, NDCG, N_TARGETS)
    adjusted = np.concatenate([before, after])
    inside = np.arange(len(adjusted)) >= len(before)
    expected, now = float(adjusted[~inside].mean()), float(adjusted[inside].mean())
    rng = np.random.default_rng(seed)
    null, sampled = np.empty(draws), np.empty(draws)
    for draw in range(draws):
        label = rng.permutation(inside)
        null[draw] = adjusted[~label].mean() - adjusted[label].mean()
        sampled[draw] = _relative(
            rng.choice(before, len(before)).mean(), rng.choice(after, len(after)).mean()
        )
    tail = (1 - confidence) / 2
    low, high = np.quantile(sampled, [tail, 1 - tail])
    return Drop(
        reference=float(reference[NDCG].to_numpy().mean()),
        expected=expected,
        current=now,
        relative=_relative(expected, now),
        low=float(low),
        high=float(high),
        p_value=float((1 + (null >= expected - now - 1e-12).sum()) / (1 + draws)),
    )


def detrended(
    reference: pl.DataFrame, current: pl.DataFrame, value: str, count: str
) -> tuple[Floats, Floats]:
    """Return a column of both sides as if every user had the counts of the window's users.

    The trend over log2(1 + count) is estimated within the sides, so that a difference between them
    is not mistaken for it.
    """
    sides = (reference, current)
    x = [np.log2(1 + side[count].to_numpy().astype(np.float64)) for side in sides]
    y = [side[value].to_numpy().astype(np.float64) for side in sides]
    centred = np.concatenate([side - side.mean() for side in x])
    slope = float(centred @ np.concatenate(y) / max(1e-12, centred @ centred))
    before, after = (yi - slope * (xi - x[1].mean()) for xi, yi in zip(x, y, strict=True))
    return before, after


def _relative(expected: float, current: float) -> float:
    return float((expected - current) / max(expected, 1e-12))


@dataclass(frozen=True)
class Calibration:
    """Chance of a hit as a logistic function of the score, fitted on the reference."""

    intercept: float
    slope: float

    @classmethod
    def fit(cls, table: pl.DataFrame) -> "Calibration | None":
        """Fit to the list places of the reference; none if they are all hits or all misses."""
        from sklearn.linear_model import LogisticRegression

        scores, hits = _places(table)
        if len(set(hits.tolist())) < 2:
            return None
        model = LogisticRegression(C=1e6).fit(scores[:, None], hits)
        return cls(float(model.intercept_[0]), float(model.coef_[0, 0]))

    def observed_over_expected(self, table: pl.DataFrame) -> float:
        """Hits in the table divided by the hits that its scores promise; 1 is calibrated."""
        scores, hits = _places(table)
        expected = 1 / (1 + np.exp(-(self.intercept + self.slope * scores)))
        return float(hits.sum() / max(float(expected.sum()), 1e-12))


def _places(table: pl.DataFrame) -> tuple[Floats, npt.NDArray[np.bool_]]:
    scores = table[TOP_SCORES].explode().to_numpy().astype(np.float64)
    filled = ~np.isnan(scores)
    return scores[filled], table[HITS].explode().to_numpy().astype(bool)[filled]
