"""The largest entries of each row of a sparse product that is never held as a whole."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from counterpoint.progress import track

MAX_ENTRIES = 8_000_000
"""Bound on the entries of the product held at once."""


def sparse_top(
    left: sp.csr_matrix, right: sp.csr_matrix, top: int, *, own: bool, what: str
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Return the ``top`` largest entries of each row of ``left @ right``.

    Args:
        left: (R, M).
        right: (M, C).
        top: Entries kept per row (K), at most C, or C - 1 without the own entry.
        own: Whether the entry on the diagonal may be kept.
        what: Shown beside the progress, where there is more than one block.

    Returns:
        (R, K) columns and (R, K) values; unused places hold the row's own number with value 0.
    """
    rows, width = left.shape[0], right.shape[1]
    top = min(top, width if own else max(width - 1, 0))
    index = np.repeat(np.arange(rows)[:, None], top, axis=1)
    value = np.zeros((rows, top), dtype=np.float32)
    parts = list(blocks(left, right)) if top else []
    for start, stop in track(parts, what) if len(parts) > 1 else parts:
        product = (left[start:stop] @ right).tocsr()
        for row in range(stop - start):
            cells = slice(product.indptr[row], product.indptr[row + 1])
            near, found = product.indices[cells], product.data[cells]
            if not own:
                other = near != start + row
                near, found = near[other], found[other]
            if len(near) > top:
                best = np.argpartition(-found, top - 1)[:top]
                near, found = near[best], found[best]
            index[start + row, : len(near)] = near
            value[start + row, : len(near)] = found
    return index, value


def blocks(left: sp.csr_matrix, right: sp.csr_matrix) -> Iterator[tuple[int, int]]:
    """Yield row ranges whose product has at most MAX_ENTRIES entries, or of one row."""
    reach = np.concatenate([[0], np.cumsum(np.diff(right.indptr)[left.indices], dtype=np.int64)])
    bound = np.minimum(np.diff(reach[left.indptr]), right.shape[1])
    total = np.concatenate([[0], np.cumsum(bound)])
    start = 0
    while start < left.shape[0]:
        stop = int(np.searchsorted(total, total[start] + MAX_ENTRIES, side="right")) - 1
        stop = max(stop, start + 1)
        yield start, stop
        start = stop
