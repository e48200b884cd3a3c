"""The closed-form item-item model under the linear baselines."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg import lapack

from counterpoint.errors import DataError
from counterpoint.histories import Histories


@dataclass(frozen=True)
class ItemWeights:
    """Scores = (weighted history) @ weights, over the ``frequent`` items; 0 for the others.

    Attributes:
        weights: (M, M) float32; column j holds the weights of item j's predictors.
        frequent: (M,) catalogue indices.
        n_items: N, size of the catalogue.
        recency: Strength a of the event weights base + a * exp(-age / decay).
        decay: In positives since the event.
        base: Weight of the oldest events.
    """

    weights: npt.NDArray[np.float32]
    frequent: npt.NDArray[np.int64]
    n_items: int
    recency: float = 0.0
    decay: float = 5.0
    base: float = 1.0

    def score(self, histories: Histories) -> npt.NDArray[np.float32]:
        """(U, N) scores from the positives of each history."""
        history = histories.matrix(
            self.n_items,
            values=recency_weights(histories, self.recency, self.decay, self.base),
            positive_only=True,
        )
        scores = np.zeros((len(histories), self.n_items), dtype=np.float32)
        scores[:, self.frequent] = history[:, self.frequent] @ self.weights
        return scores


def recency_weights(
    histories: Histories, recency: float, decay: float, base: float = 1.0
) -> npt.NDArray[np.float32]:
    """(E,) event weights base + recency * exp(-age / decay), age in positives since."""
    return (base + recency * np.exp(-histories.ages() / decay)).astype(np.float32)


def frequent_items(train: Histories, *, n_items: int, max_items: int) -> npt.NDArray[np.int64]:
    """Indices of the items with positives, at most the ``max_items`` most liked, ascending."""
    counts = np.asarray(train.matrix(n_items, positive_only=True).sum(axis=0)).ravel()
    order = np.argsort(-counts, kind="stable")[:max_items]
    return np.sort(order[counts[order] > 0])


def gram(
    train: Histories, frequent: npt.NDArray[np.int64], *, n_items: int
) -> npt.NDArray[np.float32]:
    """(M, M) X'X of the positives on the frequent items."""
    likes = train.matrix(n_items, positive_only=True)[:, frequent]
    return np.asarray((likes.T @ likes).toarray(), dtype=np.float32)


def denoising_penalty(
    counts: npt.NDArray[np.float32], *, l2: float, dropout: float
) -> npt.NDArray[np.float64]:
    """(M,) l2 + p / (1 - p) * diag(X'X): the expected effect of dropping inputs (Steck, 2020)."""
    return np.asarray(l2 + dropout / (1 - dropout) * np.diag(counts), dtype=np.float64)


def solve(
    gram: npt.NDArray[np.float32], diagonal: npt.NDArray[np.float64] | float
) -> npt.NDArray[np.float32]:
    """Minimise ``|X - XB|^2 + |diag(diagonal)^(1/2) B|^2`` subject to diag(B) = 0.

    Args:
        gram: (M, M) matrix X'X, which may hold side information too.
        diagonal: The L2 penalty of each row of B, a number or (M,).

    Returns:
        (M, M) B = I - P diag(1 / diag(P)) with P = (gram + diagonal)^-1 (Steck, 2019, 2020).

    Raises:
        DataError: The penalty is too small for the numbers to stand.
    """
    if not len(gram):
        return np.zeros((0, 0), dtype=np.float32)
    system = np.array(gram, dtype=np.float64, order="F")
    system[np.diag_indices_from(system)] += diagonal
    # In place and by Cholesky: a third of the time of a general inverse, and no further copy.
    factor, fault = lapack.dpotrf(system, lower=1, overwrite_a=1)
    if not fault:
        inverse, fault = lapack.dpotri(factor, lower=1, overwrite_c=1)
    if fault:
        raise DataError(
            f"The linear system of {len(gram)} items is not positive definite with a penalty of "
            f"{np.min(diagonal):g}. Raise l2 of this baseline."
        )
    scale = -1 / np.diag(inverse)
    weights = np.tril(inverse, -1).astype(np.float32)
    del system, factor, inverse
    weights += weights.T
    weights *= scale.astype(np.float32)
    return weights
