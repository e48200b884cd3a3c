"""CEASE: a closed-form item-item model with a text kernel, denoising diagonal and recency.

EASE (Steck 2019) solves ``min |X - X B|^2 + l2 |B|^2, diag(B) = 0`` in closed form; EDLAE (Steck
2020) adds ``p / (1 - p) * diag(X'X)`` to the ridge, which is the expected effect of dropping inputs
with probability p; CEASE (Jeunen et al. 2020) adds side information to the Gram matrix, here a
cosine kernel K of the text vectors. At scoring time recent positives of the history weigh more.
"""

import logging
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from scipy.linalg import lapack
from torch import Tensor, nn

from counterpoint.config.train import LinearConfig
from counterpoint.errors import DataError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Gram:
    """Statistics the solves of one fit share.

    Attributes:
        items: (M,) catalogue indices of the most frequent items, ascending.
        counts: (M, M) float32 co-occurrence counts.
        kernel: (M, M) float32 cosine of the text vectors (0 where there is no text).
    """

    items: npt.NDArray[np.int64]
    counts: npt.NDArray[np.float32]
    kernel: npt.NDArray[np.float32]


def gram(interactions: sp.csr_matrix, text: npt.NDArray[np.float32], config: LinearConfig) -> Gram:
    """Count co-occurrences of the most frequent items.

    Args:
        interactions: (U, N) binary matrix of positives.
        text: (N, T) unit text vectors.
        config: ``max_items`` bounds M.
    """
    popularity = np.asarray(interactions.sum(0)).ravel()
    warm = np.flatnonzero(popularity)
    frequent = warm[np.argsort(-popularity[warm], kind="stable")[: config.max_items]]
    items = np.sort(frequent).astype(np.int64)
    if len(items) < len(warm):
        logger.info(
            "The linear part covers the %d most frequent of %d items", len(items), len(warm)
        )
    columns = interactions[:, items]
    return Gram(items, (columns.T @ columns).toarray(), text[items] @ text[items].T)


def solve(statistics: Gram, text_weight: float, config: LinearConfig) -> npt.NDArray[np.float32]:
    """Return the item-item weights with zero diagonal; row = history item.

    Args:
        statistics: Of ``gram``.
        text_weight: Weight of the text kernel.
        config: Ridge and dropout.

    Returns:
        (M + 1, M + 1); the last row and column are zero and stand for every item not covered.

    Raises:
        DataError: The ridge is too small for the numbers to stand.
    """
    counts = statistics.counts
    if not len(counts):
        return np.zeros((1, 1), dtype=np.float32)
    ridge = config.l2 + config.dropout / (1.0 - config.dropout) * np.diag(counts)
    system = counts.astype(np.float64, order="F")
    if text_weight:
        system += np.float32(text_weight) * statistics.kernel
    system[np.diag_indices_from(system)] += ridge
    # In place: at thousands of items each further copy would cost hundreds of MB.
    factor, _ = lapack.dpotrf(system, lower=1, overwrite_a=1)
    inverse, fault = lapack.dpotri(factor, lower=1, overwrite_c=1)
    if fault:
        raise DataError(
            f"The linear part's system of {len(counts)} items is not positive definite with "
            f"train.linear.l2 = {config.l2}. Raise train.linear.l2."
        )
    diagonal = np.diag(inverse).copy()
    lower = np.tril(inverse, -1)
    weights = (lower + lower.T) / -diagonal
    if 0 < config.row_top < len(weights):
        _keep_top(weights, config.row_top)
    return np.pad(weights.astype(np.float32), (0, 1))


def _keep_top(weights: npt.NDArray[np.float64], top: int) -> None:
    """Zero all but the largest magnitudes of each row, in place."""
    drop = np.argpartition(-np.abs(weights), top - 1, axis=1)[:, top:]
    np.put_along_axis(weights, drop, 0.0, axis=1)


def event_weight(age: Tensor, recency: Tensor | float, decay: Tensor | float) -> Tensor:
    """Return ``1 + recency * exp(-age / decay)``, the weight of a positive in the history."""
    return 1.0 + recency * torch.exp(-age / decay)


class LinearScorer(nn.Module):
    """Scores of padded histories.

    Args:
        items: (M,) catalogue indices the weights cover.
        weights: (M + 1, M + 1) of ``solve``.
        n_items: N.
        recency: Strength a.
        decay: In positives since.
    """

    items: Tensor
    weights: Tensor
    position: Tensor

    def __init__(
        self, items: Tensor, weights: Tensor, *, n_items: int, recency: float, decay: float
    ) -> None:
        super().__init__()
        self.recency = recency
        self.decay = decay
        self.size = len(items) + 1
        self.covers_all = len(items) == n_items
        self.register_buffer("items", items)
        self.register_buffer("weights", weights)
        position = torch.full((n_items,), len(items), dtype=torch.int64)
        position[items] = torch.arange(len(items))
        self.register_buffer("position", position, persistent=False)

    def event_weight(self, age: Tensor) -> Tensor:
        """Return the weight of positives of the given ages."""
        return event_weight(age, self.recency, self.decay)

    def forward(self, items: Tensor, weight: Tensor) -> Tensor:
        """Return (B, N) scores; items not covered score 0.

        Args:
            items: (B, L) catalogue indices.
            weight: (B, L) weight of each event, 0 where it does not count.
        """
        state = weight.new_zeros(items.shape[0], self.size)
        state = state.scatter_add(1, self.position[items], weight)
        scores = torch.matmul(state, self.weights)
        return scores[:, :-1] if self.covers_all else scores.index_select(1, self.position)

    def contributions(self, items: Tensor, weight: Tensor, winners: Tensor) -> Tensor:
        """Return (B, L, K): what each history event adds to the score of each winner.

        Args:
            items: (B, L).
            weight: (B, L).
            winners: (B, K) catalogue indices.
        """
        row = self.position[items].unsqueeze(2) * self.size
        cells = row + self.position[winners].unsqueeze(1)
        return self.weights.flatten()[cells] * weight.unsqueeze(2)
