"""The graph of the users: who likes the same items, and whose labels reach whom.

The (U, U) matrix S is sparse, its M largest entries per user, and is computed in blocks of rows:
nothing of size U x U is ever held.
"""

import numpy as np
import scipy.sparse as sp

from counterpoint.sparse_top import blocks, sparse_top


def user_similarity(liked: sp.csr_matrix, top: int) -> sp.csr_matrix:
    """Return S: cosine of the users' positives, the M largest of each user.

    Args:
        liked: (U, N) binary positives.
        top: Neighbours per user (M).

    Returns:
        (U, U) float32 in (0, 1], without diagonal; not symmetric, as each row keeps its own best.
    """
    norm = np.sqrt(np.asarray(liked.multiply(liked).sum(1)).ravel())
    scale = np.divide(1.0, norm, out=np.zeros_like(norm), where=norm > 0)
    rows = (sp.diags(scale) @ liked).tocsr()
    index, value = sparse_top(rows, rows.T.tocsr(), top, own=False, what="Find similar users")
    return _sparse(index.ravel(), np.minimum(value, 1.0).ravel(), index.shape, len(index))


def propagate_labels(
    liked: sp.csr_matrix, similarity: sp.csr_matrix, *, share: float, layers: int, top: int
) -> sp.csr_matrix:
    """Spread the positives over similar users.

    Label propagation of Zhou et al., "Learning with Local and Global Consistency" (2004):
    ``F <- a D^-1 S F + (1 - a) Y`` from ``F = Y``, with Y the positives of each user as a
    distribution. A user without positives has no neighbours in S and stays without labels.

    Args:
        liked: (U, N) binary positives.
        similarity: (U, U) of ``user_similarity``.
        share: a, of the neighbours.
        layers: Rounds; each reaches one user further.
        top: Labels kept per user and round, so that F stays sparse.

    Returns:
        (U, N) float32 F, non-negative.
    """
    labels = _stochastic(liked)
    spread = labels
    mixing = _stochastic(similarity)
    for _ in range(layers):
        parts = []
        for start, stop in blocks(mixing, spread):
            reached = share * (mixing[start:stop] @ spread) + (1.0 - share) * labels[start:stop]
            parts.append(_keep_largest(reached.tocsr(), top))
        spread = sp.vstack(parts, format="csr") if parts else spread
    return spread.astype(np.float32)


def _stochastic(matrix: sp.csr_matrix) -> sp.csr_matrix:
    """Rows divided by their sums; empty rows stay empty."""
    total = np.asarray(matrix.sum(1), dtype=np.float64).ravel()
    scale = np.divide(1.0, total, out=np.zeros_like(total), where=total > 0)
    return (sp.diags(scale) @ matrix).tocsr()


def _keep_largest(matrix: sp.csr_matrix, top: int) -> sp.csr_matrix:
    """The ``top`` largest entries of each row."""
    row = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    order = np.lexsort((-matrix.data, row))
    place = np.arange(len(row)) - matrix.indptr[:-1][row]
    kept = order[place < top]
    return sp.csr_matrix((matrix.data[kept], (row[kept], matrix.indices[kept])), matrix.shape)


def _sparse(
    index: np.ndarray, value: np.ndarray, shape: tuple[int, int], width: int
) -> sp.csr_matrix:
    row = np.repeat(np.arange(shape[0]), shape[1])
    kept = value > 0
    return sp.csr_matrix(
        (value[kept], (row[kept], index[kept])), shape=(shape[0], width), dtype=np.float32
    )
