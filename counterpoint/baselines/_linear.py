"""The closed-form item-item model under the linear baselines."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.linalg

from counterpoint.histories import Histories


@dataclass(frozen=True)
class ItemWeights:
    """Scores = (weighted history) @ weights, over the ``frequent`` items; 0 for the others.

    Attributes:
        weights: (M, M) float32; column j holds the weights of item j's predictors.
        frequent: (M,) catalogue indices.
        n_items: N, size of the catalogue.
        recency: Strength a of the event weights 1 + a * exp(-age / decay); 0 turns them off.
        decay: In positives since the event.
    """

    weights: npt.NDArray[np.float32]
    frequent: npt.NDArray[np.int64]
    n_items: int
    recency: float = 0.0
    decay: float = 5.0

    def score(self, histories: Histories) -> npt.NDArray[np.float32]:
        """(U, N) scores from the positives of each history."""
        values = (1 + self.recency * np.exp(-histories.ages() / self.decay)).astype(np.float32)
        history = histories.matrix(self.n_items, values=values, positive_only=True)
        scores = np.zeros((len(histories), self.n_items), dtype=np.float32)
        scores[:, self.frequent] = history[:, self.frequent] @ self.weights
        return scores


def frequent_items(train: Histories, *, n_items: int, max_items: int) -> npt.NDArray[np.int64]:
    """Indices of the items with positives, at most the ``max_items`` most liked, ascending."""
    counts = np.asarray(train.matrix(n_items, positive_only=True).sum(axis=0)).ravel()
    order = np.argsort(-counts, kind="stable")[:max_items]
    return np.sort(order[counts[order] > 0])


def solve(
    gram: npt.NDArray[np.float64], diagonal: npt.NDArray[np.float64] | float
) -> npt.NDArray[np.float32]:
    """Minimise ``|X - XB|^2 + |diag(diagonal)^(1/2) B|^2`` subject to diag(B) = 0.

    Args:
        gram: (M, M) matrix X'X.
        diagonal: The L2 penalty of each row of B, a number or (M,).

    Returns:
        (M, M) B = I - P diag(1 / diag(P)) with P = (gram + diagonal)^-1 (Steck, 2019, 2020).
    """
    inverse = scipy.linalg.inv(gram + np.diag(np.broadcast_to(diagonal, len(gram))))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0.0)
    return weights.astype(np.float32)
