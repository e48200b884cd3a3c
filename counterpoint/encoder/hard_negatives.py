"""Hard negatives: what the current model takes for alike although nobody liked both."""

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from torch import Tensor

from counterpoint.config.encoder import HardNegativesConfig
from counterpoint.encoder.item_pairs import Pairs

NONE = -1
CHUNK = 1024


class HardNegatives:
    """The nearest items of each item that share no user with it.

    Args:
        liked: (U, N) positives.
        allowed: (N,) items that may occur.
        config: How deep, how many, how far from the positive.
    """

    def __init__(
        self, liked: sp.csr_matrix, allowed: npt.NDArray[np.bool_], config: HardNegativesConfig
    ) -> None:
        self._liked = (liked > 0).astype(np.float32).tocsc()
        self._allowed = allowed
        self._config = config
        self._vectors: Tensor | None = None
        self.nearest = np.full((len(allowed), 0), NONE, dtype=np.int64)
        self.similarity = np.zeros((len(allowed), 0), dtype=np.float32)

    def mine(self, vectors: Tensor) -> None:
        """Look for them anew.

        Args:
            vectors: (N, D) unit vectors of the current model.
        """
        depth = min(self._config.depth, len(vectors))
        self._vectors = vectors
        self.nearest = np.full((len(vectors), depth), NONE, dtype=np.int64)
        self.similarity = np.full((len(vectors), depth), -np.inf, dtype=np.float32)
        barred = torch.from_numpy(~self._allowed)
        rows = np.flatnonzero(self._allowed)
        for start in range(0, len(rows), CHUNK):
            some = rows[start : start + CHUNK]
            scores = vectors[some] @ vectors.T
            together = (self._liked[:, some].T @ self._liked).tocoo()
            scores[together.row, together.col] = -torch.inf
            scores[torch.arange(len(some)), torch.from_numpy(some)] = -torch.inf
            scores[:, barred] = -torch.inf
            best, index = scores.topk(depth, dim=1)
            found = torch.where(best == -torch.inf, NONE, index)
            self.nearest[some] = found.numpy()
            self.similarity[some] = best.numpy()

    def draw(self, pairs: Pairs, random: np.random.Generator) -> npt.NDArray[np.int64]:
        """Return (P, count) items, ``NONE`` where fewer are fit.

        Fit is what is less similar to the anchor than the positive is, by the margin: a candidate
        that beats the positive is likely to be liked too, only not seen yet.
        """
        count = self._config.count
        out = np.full((len(pairs), count), NONE, dtype=np.int64)
        if self._vectors is None or not self.nearest.shape[1]:
            return out
        anchors, positives = self._vectors[pairs.anchor], self._vectors[pairs.positive]
        bound = (anchors * positives).sum(1).numpy() - self._config.margin
        candidates = self.nearest[pairs.anchor]
        fit = (self.similarity[pairs.anchor] < bound[:, None]) & (candidates != NONE)
        lottery = np.where(fit, random.random(fit.shape), np.inf)
        width = min(count, fit.shape[1])
        chosen = np.argsort(lottery, axis=1)[:, :width]
        taken = np.take_along_axis(candidates, chosen, axis=1)
        out[:, :width] = np.where(np.take_along_axis(fit, chosen, axis=1), taken, NONE)
        return out
