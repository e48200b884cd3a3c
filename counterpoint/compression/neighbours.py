"""How alike two sets of vectors rank: overlap of the nearest neighbours, and the cosine."""

import numpy as np
import numpy.typing as npt

K = 10
CHUNK = 512


def overlap(
    reference: npt.NDArray[np.float32], candidate: npt.NDArray[np.float32], *, k: int = K
) -> float:
    """Return the mean share of the k nearest neighbours that both sets agree on.

    Each set is searched with its own vectors, as a caller of `encode` does.

    Args:
        reference: (N, D) unit vectors of N distinct texts.
        candidate: (N, D) of the same texts, by another encoder.
        k: Neighbours; fewer where there are not as many.

    Returns:
        Between 0 and 1; NaN where there is nothing to compare.
    """
    k = min(k, len(reference) - 1)
    if k < 1 or not np.isfinite(candidate).all():
        return float("nan")
    shared = 0
    for start in range(0, len(reference), CHUNK):
        rows = np.arange(start, min(start + CHUNK, len(reference)))
        ours = _nearest(reference[rows], reference, rows, k)
        theirs = _nearest(candidate[rows], candidate, rows, k)
        shared += int((ours[:, :, None] == theirs[:, None, :]).sum())
    return shared / (k * len(reference))


def cosines(
    reference: npt.NDArray[np.float32], candidate: npt.NDArray[np.float32]
) -> npt.NDArray[np.float64]:
    """Return the (N,) cosine of each text's two vectors."""
    lengths = np.linalg.norm(reference, axis=1) * np.linalg.norm(candidate, axis=1)
    return np.asarray((reference * candidate).sum(1) / np.maximum(lengths, 1e-12), np.float64)


def _nearest(
    queries: npt.NDArray[np.float32],
    vectors: npt.NDArray[np.float32],
    own: npt.NDArray[np.int64],
    k: int,
) -> npt.NDArray[np.int64]:
    similarity = queries @ vectors.T
    similarity[np.arange(len(own)), own] = -np.inf
    return np.argpartition(-similarity, k - 1, axis=1)[:, :k]
