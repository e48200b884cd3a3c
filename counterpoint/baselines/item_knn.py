"""Item-based nearest neighbours with shrunk cosine similarity (Sarwar et al., 2001)."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from pydantic import Field

from counterpoint.config.base import Section
from counterpoint.histories import Histories, Scorer

GRID = (
    {"neighbours": (200, 50, 100, 400)},
    {"shrinkage": (20.0, 0.0, 5.0, 100.0)},
)


class Config(Section):
    """Options; the defaults are the best of a small grid on MovieLens-100K validation."""

    neighbours: int = Field(default=200, ge=1)
    """Most similar items that an item is scored by."""

    shrinkage: float = Field(default=20.0, ge=0)
    """Added to the denominator: similarities of rare items are trusted less."""

    block: int = Field(default=1024, ge=1)
    """Items compared with the catalogue at a time; bounds memory."""


@dataclass(frozen=True)
class _ItemKnn:
    similarity: sp.csr_matrix

    def score(self, histories: Histories) -> npt.NDArray[np.float32]:
        history = histories.matrix(self.similarity.shape[0], positive_only=True)
        return np.asarray((history @ self.similarity).toarray(), dtype=np.float32)


def fit(train: Histories, *, n_items: int, config: Config) -> Scorer:
    """Keep each item's ``neighbours`` most similar items, as a column of a sparse matrix."""
    likes = train.matrix(n_items, positive_only=True).tocsc()
    norms = np.sqrt(np.asarray(likes.sum(axis=0)).ravel())
    columns = []
    for start in range(0, n_items, config.block):
        stop = min(start + config.block, n_items)
        shared = (likes.T @ likes[:, start:stop]).tocsc()
        shared.setdiag(0, k=-start)
        shared.eliminate_zeros()
        owner = start + np.repeat(np.arange(stop - start), np.diff(shared.indptr))
        shared.data /= norms[shared.indices] * norms[owner] + config.shrinkage
        # Position of each entry in its column, most similar first; ties by item, reproducibly.
        order = np.lexsort((shared.indices, -shared.data, owner))
        place = np.arange(len(order)) - shared.indptr[:-1][owner[order] - start]
        shared.data[order[place >= config.neighbours]] = 0
        shared.eliminate_zeros()
        columns.append(shared)
    return _ItemKnn(sp.hstack(columns, format="csr", dtype=np.float32))
