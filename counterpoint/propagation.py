"""Graph smoothing of item vectors over co-occurrence neighbours."""

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from torch import Tensor

BLOCK = 1024
"""Rows of the co-occurrence product held at once."""


def co_occurrence_neighbours(
    interactions: sp.csr_matrix, top: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Return each item's nearest items by cosine of their user columns.

    Args:
        interactions: (U, N) binary matrix.
        top: Neighbours per item (K).

    Returns:
        (N, K) indices and (N, K) weights that sum to 1 over the neighbours, or to 0 for an item
        without any; unused places hold the item itself with weight 0.
    """
    n_items = interactions.shape[1]
    top = min(top, max(n_items - 1, 0))
    norm = np.sqrt(np.asarray(interactions.multiply(interactions).sum(0)).ravel())
    scale = np.divide(1.0, norm, out=np.zeros_like(norm), where=norm > 0)
    columns = (interactions @ sp.diags(scale)).tocsc()
    index = np.repeat(np.arange(n_items)[:, None], top, axis=1)
    weight = np.zeros((n_items, top), dtype=np.float32)
    for start in range(0, n_items if top else 0, BLOCK):
        stop = min(start + BLOCK, n_items)
        product = (columns[:, start:stop].T @ columns).tocsr()
        for row in range(stop - start):
            cells = slice(product.indptr[row], product.indptr[row + 1])
            near, value = product.indices[cells], product.data[cells]
            other = near != start + row
            near, value = near[other], value[other]
            if len(near) > top:
                best = np.argpartition(-value, top - 1)[:top]
                near, value = near[best], value[best]
            index[start + row, : len(near)] = near
            weight[start + row, : len(near)] = value / max(value.sum(), 1e-12)
    return index, weight


def smooth(vectors: Tensor, index: Tensor, weight: Tensor, share: float) -> Tensor:
    """Return ``normalise((1 - share) * v + share * mean of the neighbours' v)``.

    One hop of simplified graph convolution (Wu et al., SGC, 2019) on the item graph.

    Args:
        vectors: (N, d) item vectors.
        index: (M, K) neighbours of the first M items.
        weight: (M, K) neighbour weights.
        share: Share of the neighbours.
    """
    if share == 0.0 or index.shape[1] == 0:
        return vectors[: len(index)]
    mean = torch.nn.functional.embedding_bag(
        index, vectors, per_sample_weights=weight.to(vectors.dtype), mode="sum"
    )
    mixed = (1.0 - share) * vectors[: len(index)] + share * mean
    return torch.nn.functional.normalize(mixed, dim=-1)
