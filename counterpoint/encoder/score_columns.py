"""What a linear model says of items: one column of standardised scores an item, one row a user.

The recommender scores an item nobody has met by regressing such columns on the features of the
items (cold.py). Here they are the targets of training and of judging a text encoder.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

L2 = 200.0
MOST_ITEMS = 3000
MOST_USERS = 2000

Index = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ScoreColumns:
    """EASE (Steck 2019) of the most popular items.

    Attributes:
        items: (M,) catalogue indices.
        weights: (M, M) of the linear model.
        liked: (U, M) positives.
    """

    items: Index
    weights: npt.NDArray[np.float64]
    liked: sp.csr_matrix

    def of(self, users: Index) -> npt.NDArray[np.float32]:
        """Return (V, M) scores, standardised over the items of each user."""
        scores = self.liked[users] @ self.weights
        spread = np.maximum(scores.std(1, keepdims=True), 1e-9)
        return ((scores - scores.mean(1, keepdims=True)) / spread).astype(np.float32)

    def active(self, *, seed: int) -> Index:
        """Return users who liked some of the items, at most ``MOST_USERS`` drawn at random."""
        return some(np.flatnonzero(np.diff(self.liked.indptr) > 0), seed=seed)


def solve(liked: sp.csr_matrix, left_out: npt.NDArray[np.bool_]) -> ScoreColumns | None:
    """Fit the linear model; none where fewer than two items are liked.

    Args:
        liked: (U, N) positives.
        left_out: (N,) items that are neither scored nor read.
    """
    popularity = np.where(left_out, 0.0, np.asarray(liked.sum(0)).ravel())
    order = np.argsort(-popularity, kind="stable")[:MOST_ITEMS]
    items = np.sort(order[popularity[order] > 0])
    if len(items) < 2:
        return None
    history = liked[:, items].tocsr()
    counts = (history.T @ history).toarray().astype(np.float64)
    inverse = np.linalg.inv(counts + L2 * np.eye(len(items)))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0.0)
    return ScoreColumns(items, weights, history)


def some(users: Index, *, seed: int) -> Index:
    """Return at most ``MOST_USERS`` of some users, drawn at random, ascending."""
    return np.sort(np.random.default_rng(seed).permutation(users)[:MOST_USERS])
