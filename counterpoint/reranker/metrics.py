"""AUC, log-loss and RMSE with bootstrap intervals; users are what is resampled (bootstrap.py)."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from counterpoint.bootstrap import Interval

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Resamples:
    """How often each pair counts in each resample of the users.

    Attributes:
        users: (P,) number of the user of each pair.
        counts: (R, U) how often each user was drawn.
    """

    users: npt.NDArray[np.int64]
    counts: Floats

    @classmethod
    def draw(cls, users: npt.NDArray[np.int64], *, resamples: int, seed: int) -> "Resamples":
        """Draw as many users as there are, with replacement.

        Args:
            users: (P,) any numbers that tell users apart.
            resamples: R.
            seed: Equal seeds and users draw alike, so that methods are compared on equal draws.
        """
        _, own = np.unique(users, return_inverse=True)
        size = int(own.max(initial=-1)) + 1
        rng = np.random.default_rng(seed)
        drawn = rng.integers(0, max(size, 1), (resamples, size))
        counts = np.stack([np.bincount(row, minlength=size) for row in drawn]).astype(np.float64)
        return cls(own.astype(np.int64), counts)

    @property
    def n_users(self) -> int:
        """U."""
        return self.counts.shape[1]


def auc(score: Floats, label: npt.NDArray[np.bool_], weights: Floats) -> Floats:
    """Return (R,) areas under the ROC curve; ties count half. NaN where a class is absent.

    Args:
        score: (P,).
        label: (P,).
        weights: (R, P).
    """
    order = np.argsort(score, kind="stable")
    _, first = np.unique(score[order], return_index=True)
    positive = np.add.reduceat(weights[:, order] * label[order], first, axis=1)
    negative = np.add.reduceat(weights[:, order] * ~label[order], first, axis=1)
    below = np.cumsum(negative, axis=1) - negative / 2
    total = positive.sum(1) * negative.sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((positive * below).sum(1) / total, dtype=np.float64)


def log_loss(logit: Floats, label: npt.NDArray[np.bool_], weights: Floats) -> Floats:
    """Return (R,) mean cross-entropies in nats."""
    each = np.logaddexp(0.0, np.where(label, -logit, logit))
    return np.asarray(weights @ each / weights.sum(1), dtype=np.float64)


def rmse(guess: Floats, truth: Floats, weights: Floats) -> Floats:
    """Return (R,) root mean squared errors."""
    return np.asarray(np.sqrt(weights @ np.square(guess - truth) / weights.sum(1)))


MEASURES: dict[str, Callable[[Floats, npt.NDArray, Floats], Floats]] = {
    "auc": auc,
    "log_loss": log_loss,
    "rmse": rmse,
}


def measured(
    name: str, guess: Floats, truth: npt.NDArray, drawn: Resamples, *, confidence: float = 0.95
) -> Interval:
    """Return a measure with its interval.

    Args:
        name: Of ``MEASURES``.
        guess: (P,) scores, logits or ratings.
        truth: (P,) labels or ratings.
        drawn: The resamples.
        confidence: Coverage.
    """
    return _interval(*_values(name, guess, truth, drawn), drawn.n_users, confidence)


def compared(
    name: str,
    guess: Floats,
    other: Floats,
    truth: npt.NDArray,
    drawn: Resamples,
    *,
    confidence: float = 0.95,
) -> Interval:
    """Return the difference of a measure between two methods, on the same resamples."""
    mine, theirs = (_values(name, each, truth, drawn) for each in (guess, other))
    return _interval(mine[0] - theirs[0], mine[1] - theirs[1], drawn.n_users, confidence)


def _values(name: str, guess: Floats, truth: npt.NDArray, drawn: Resamples) -> tuple[float, Floats]:
    measure = MEASURES[name]
    whole = measure(guess, truth, np.ones((1, len(guess))))
    parts = [
        measure(guess, truth, counts[:, drawn.users])
        for counts in np.array_split(drawn.counts, max(1, len(drawn.counts) // 20))
    ]
    return float(whole[0]), np.concatenate(parts)


def _interval(value: float, values: Floats, users: int, confidence: float) -> Interval:
    kept = values[~np.isnan(values)]
    tail = (1 - confidence) / 2
    low, high = np.quantile(kept, [tail, 1 - tail]) if len(kept) else (np.nan, np.nan)
    return Interval(value, float(low), float(high), users)
