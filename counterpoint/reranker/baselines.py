"""What the re-ranker must beat: a logistic regression, popularity, biases, matrix factorisation."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from counterpoint.reranker.features import NAMES

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

POPULARITY = ("popularity",)
CONTENT = (
    "popularity",
    "liked",
    "rated",
    "leniency",
    "activity",
    "liked_share",
    "text_liked",
    "text_nearest",
    "text_other",
    "attributes_liked",
    "attributes_other",
)
"""Everything but the recommender's own score."""


def logistic(
    features: Floats,
    label: npt.NDArray[np.bool_],
    asked: Floats,
    names: Sequence[str] = NAMES,
) -> Floats:
    """Return logits of a logistic regression on some of the plain features.

    Args:
        features: (P, K) to learn from.
        label: (P,).
        asked: (Q, K) to judge.
        names: Features that are used.
    """
    # Not installed in every step's image.
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    columns = [NAMES.index(name) for name in names]
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    model.fit(features[:, columns], label)
    return np.asarray(model.decision_function(asked[:, columns]), dtype=np.float64)


@dataclass(frozen=True)
class Ratings:
    """R ratings as triples."""

    user: Indices
    item: Indices
    value: Floats


def biases(known: Ratings, asked: Ratings, *, l2: float, sweeps: int = 10) -> Floats:
    """Return mean + user + item (Koren, Bell and Volinsky 2009), by alternating ridge regression.

    Args:
        known: To learn from.
        asked: What to predict; its values are not read.
        l2: Ridge, in ratings.
        sweeps: Over users and items.
    """
    mean, user, item = _biases(known, asked, l2, sweeps)
    return mean + user[asked.user] + item[asked.item]


def factorise(
    known: Ratings,
    asked: Ratings,
    *,
    rank: int,
    l2: float,
    bias_l2: float,
    sweeps: int = 12,
    seed: int = 0,
) -> Floats:
    """Return biases + <p_u, q_i>, the factors by alternating least squares on what biases leave.

    Zhou et al. 2008, "Large-scale parallel collaborative filtering for the Netflix prize": the
    ridge grows with the number of ratings.

    Args:
        known: To learn from.
        asked: What to predict; its values are not read.
        rank: Width of the factors.
        l2: Ridge, per rating.
        bias_l2: Ridge of the biases.
        sweeps: Over users and items.
        seed: Of the first item factors.
    """
    mean, user, item = _biases(known, asked, bias_l2, 10)
    left = known.value - mean - user[known.user] - item[known.item]
    rng = np.random.default_rng(seed)
    theirs = rng.normal(0.0, 0.1, (len(item), rank))
    mine = np.zeros((len(user), rank))
    for _ in range(sweeps):
        mine = _solve(known.user, known.item, left, theirs, len(user), l2)
        theirs = _solve(known.item, known.user, left, mine, len(item), l2)
    both = np.einsum("pk,pk->p", mine[asked.user], theirs[asked.item])
    return mean + user[asked.user] + item[asked.item] + both


def _biases(known: Ratings, asked: Ratings, l2: float, sweeps: int) -> tuple[float, Floats, Floats]:
    users = int(max(known.user.max(initial=0), asked.user.max(initial=0))) + 1
    items = int(max(known.item.max(initial=0), asked.item.max(initial=0))) + 1
    mean = float(known.value.mean())
    user, item = np.zeros(users), np.zeros(items)
    for _ in range(sweeps):
        left = known.value - mean - user[known.user]
        item = np.bincount(known.item, left, items) / (np.bincount(known.item, None, items) + l2)
        left = known.value - mean - item[known.item]
        user = np.bincount(known.user, left, users) / (np.bincount(known.user, None, users) + l2)
    return mean, user, item


def _solve(
    rows: Indices, columns: Indices, left: Floats, other: Floats, size: int, l2: float
) -> Floats:
    """Return (size, K) ridge regressions, one for each row."""
    order = np.argsort(rows, kind="stable")
    starts = np.searchsorted(rows[order], np.arange(size + 1))
    out = np.zeros((size, other.shape[1]))
    for row in range(size):
        part = order[starts[row] : starts[row + 1]]
        if len(part):
            known = other[columns[part]]
            ridge = l2 * len(part) * np.eye(other.shape[1])
            out[row] = np.linalg.solve(known.T @ known + ridge, known.T @ left[part])
    return out
