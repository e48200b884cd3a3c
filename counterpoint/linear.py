"""The closed-form item-item model: EASE, EDLAE, CEASE and SLIST as points of one family.

    min_B  a |X - X B|^2 + (1 - a) |T - S B|^2 + w |K^(1/2) (I - B)|^2
           + |(l2 I + p / (1 - p) a diag(X'X))^(1/2) B|^2,     diag(B) <= 0

With a = 1, w = 0 and p = 0 this is EASE (Steck, WWW 2019); p > 0 is the expected effect of dropping
inputs with probability p (EDLAE: Steck, NeurIPS 2020); w > 0 adds side information to the Gram
matrix, here a cosine kernel K of the text vectors (CEASE: Jeunen, Van Balen and Goethals, RecSys
2020); a < 1 adds what follows what (SLIST: slist.py). Its solution is

    P = (a X'X + (1 - a) S'S + w K + ridge)^-1,  B0 = P (a X'X + (1 - a) S'T + w K)
    B = B0 - P diag(max(diag(B0), 0) / diag(P))

At scoring time positives of the history weigh ``base + recency * exp(-age / decay)``.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from scipy.linalg import lapack
from torch import Tensor, nn

from counterpoint.config.linear import LinearForm, Weighting
from counterpoint.errors import DataError
from counterpoint.histories import Histories
from counterpoint.slist import Transitions, transitions

logger = logging.getLogger(__name__)

COLUMNS = 512
"""Columns of an (M, M) array that are worked on at once."""


@dataclass(frozen=True)
class Gram:
    """Statistics the solves of one fit share.

    Sparse, and text instead of its kernel: at thousands of items each (M, M) array is 100 MB.

    Attributes:
        items: (M,) catalogue indices of the most frequent items, ascending.
        counts: (M, M) co-occurrence counts X'X.
        text: (M, T) unit text vectors, whose inner products are the kernel (T = 0: none).
        order: span -> S'S and S'T; computed when first asked for.
    """

    items: npt.NDArray[np.int64]
    counts: sp.csr_matrix
    text: npt.NDArray[np.float32]
    order: Callable[[float], Transitions]

    @property
    def has_text(self) -> bool:
        """Whether the kernel says anything."""
        return bool(self.text.any())


def gram(
    interactions: sp.csr_matrix,
    text: npt.NDArray[np.float32],
    train: Histories,
    *,
    max_items: int,
) -> Gram:
    """Count co-occurrences of the most frequent items.

    Args:
        interactions: (U, N) binary matrix of positives.
        text: (N, T) unit text vectors.
        train: The histories behind ``interactions``, for their order.
        max_items: Bounds M.
    """
    popularity = np.asarray(interactions.sum(0)).ravel()
    warm = np.flatnonzero(popularity)
    frequent = warm[np.argsort(-popularity[warm], kind="stable")[:max_items]]
    items = np.sort(frequent).astype(np.int64)
    if len(items) < len(warm):
        logger.info(
            "The linear part covers the %d most frequent of %d items", len(items), len(warm)
        )
    columns = interactions[:, items]
    n_items = interactions.shape[1]

    @cache
    def order(span: float) -> Transitions:
        return transitions(train, items, n_items=n_items, span=span)

    return Gram(items, sp.csr_matrix(columns.T @ columns), text[items], order)


def solve(statistics: Gram, form: LinearForm, *, row_top: int = 0) -> npt.NDArray[np.float32]:
    """Return the item-item weights; row = history item.

    Args:
        statistics: Of ``gram``.
        form: Point of the family.
        row_top: Keep this many largest weights per row (0: all).

    Returns:
        (M + 1, M + 1); the last row and column are zero and stand for every item not covered.

    Raises:
        DataError: The ridge is too small for the numbers to stand.
    """
    size = len(statistics.items)
    weights = np.zeros((size + 1, size + 1), dtype=np.float32)
    if not size:
        return weights
    counts = statistics.counts
    denoising = form.dropout / (1.0 - form.dropout) * form.share
    ridge = form.l2 + denoising * counts.diagonal().astype(np.float64)
    inverse = _inverse(_system(statistics, form, ridge), form)
    # B0 = I - P ridge - P (1 - a)(S'S - S'T), for the right side is the system less those two.
    inner = weights[:-1, :-1]
    inner[:] = inverse
    diagonal = np.diag(inverse).copy()
    own = 1.0 - diagonal * ridge
    del inverse
    if form.share < 1.0:
        order = statistics.order(form.span)
        moved = np.float32(1.0 - form.share) * (order.together - order.followed).toarray()
        shift = inner @ moved
        del moved
        own -= np.diag(shift)
        inner *= -(ridge + np.maximum(own, 0.0) / diagonal).astype(np.float32)
        inner -= shift
    else:
        inner *= -(ridge + np.maximum(own, 0.0) / diagonal).astype(np.float32)
    inner[np.diag_indices(size)] = np.minimum(own, 0.0)
    if 0 < row_top < size:
        _keep_top(inner, row_top)
    return weights


def _system(
    statistics: Gram, form: LinearForm, ridge: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """A X'X + (1 - a) S'S + w K + ridge, in the order of columns that LAPACK works on in place."""
    known = form.share * statistics.counts
    if form.share < 1.0:
        known = known + (1.0 - form.share) * statistics.order(form.span).together
    system = known.astype(np.float64).toarray(order="F")
    if form.text_weight:
        for start in range(0, len(system), COLUMNS):
            part = slice(start, start + COLUMNS)
            system[:, part] += form.text_weight * (statistics.text @ statistics.text[part].T)
    system[np.diag_indices_from(system)] += ridge
    return system


def _inverse(system: npt.NDArray[np.float64], form: LinearForm) -> npt.NDArray[np.float64]:
    """Invert in place: at thousands of items each further copy would cost hundreds of MB."""
    factor, _ = lapack.dpotrf(system, lower=1, overwrite_a=1)
    inverse, fault = lapack.dpotri(factor, lower=1, overwrite_c=1)
    if fault:
        raise DataError(
            f"The linear part's system of {len(system)} items is not positive definite with "
            f"l2 = {form.l2}. Raise the l2 of this form in train.linear.forms."
        )
    for start in range(0, len(inverse), COLUMNS):
        part = slice(start, start + COLUMNS)
        inverse[:start, part] = inverse[part, :start].T
        block = inverse[part, part]
        block[:] = np.tril(block) + np.tril(block, -1).T
    return np.asarray(inverse)


def _keep_top(weights: npt.NDArray[np.float32], top: int) -> None:
    """Zero all but the largest magnitudes of each row, in place."""
    for row in weights:
        row[np.argpartition(-np.abs(row), top - 1)[top:]] = 0.0


class LinearScorer(nn.Module):
    """Scores of padded histories.

    Args:
        items: (M,) catalogue indices the weights cover.
        weights: (M + 1, M + 1) of ``solve``.
        n_items: N.
        weighting: How positives of a history weigh.
    """

    items: Tensor
    weights: Tensor
    position: Tensor

    def __init__(
        self, items: Tensor, weights: Tensor, *, n_items: int, weighting: Weighting
    ) -> None:
        super().__init__()
        self.weighting = weighting
        self.size = len(items) + 1
        self.covers_all = len(items) == n_items
        self.register_buffer("items", items)
        self.register_buffer("weights", weights)
        position = torch.full((n_items,), len(items), dtype=torch.int64)
        position[items] = torch.arange(len(items))
        self.register_buffer("position", position, persistent=False)

    def weighed(self, weighting: Weighting) -> "LinearScorer":
        """Return a scorer of the same weights that weighs the history in another way."""
        n_items = len(self.position)
        return LinearScorer(self.items, self.weights, n_items=n_items, weighting=weighting)

    def event_weight(self, age: Tensor) -> Tensor:
        """Return the weight of positives of the given ages (in positives since)."""
        how = self.weighting
        return how.base + how.recency * torch.exp(-age / how.decay)

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
