"""Graph propagation of item vectors: SGC over co-occurrence, LightGCN over item - user - item."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from torch import Tensor

from counterpoint.config.towers import TowerConfig
from counterpoint.sparse_top import sparse_top

Neighbours = tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]


def item_graph(interactions: sp.csr_matrix, config: TowerConfig) -> Neighbours:
    """Return the (N, K) neighbours and edge weights the configuration asks for.

    Args:
        interactions: (U, N) binary matrix.
        config: Kind of graph and number of neighbours.
    """
    if config.graph == "lightgcn":
        return lightgcn_neighbours(interactions, config.neighbours)
    return co_occurrence_neighbours(interactions, config.neighbours)


def co_occurrence_neighbours(interactions: sp.csr_matrix, top: int) -> Neighbours:
    """Return each item's nearest items by cosine of their user columns.

    Args:
        interactions: (U, N) binary matrix.
        top: Neighbours per item (K).

    Returns:
        (N, K) indices and (N, K) weights that sum to 1 over the neighbours, or to 0 for an item
        without any; unused places hold the item itself with weight 0.
    """
    norm = np.sqrt(np.asarray(interactions.multiply(interactions).sum(0)).ravel())
    rows = (interactions @ sp.diags(_inverse(norm))).T.tocsr()
    index, value = sparse_top(rows, rows.T.tocsr(), top, own=False, what="Find similar items")
    return index, value / np.maximum(value.sum(1, keepdims=True), 1e-12)


def lightgcn_neighbours(interactions: sp.csr_matrix, top: int) -> Neighbours:
    """Return the heaviest edges of ``R'R`` with ``R = D_u^-1/2 X D_i^-1/2``, the item included.

    One hop is two layers of LightGCN (He et al. 2020) on the bipartite graph, as users have no
    vectors of their own here.

    Args:
        interactions: (U, N) binary matrix X.
        top: Neighbours per item beside itself (K - 1); with fewer than N - 1 the rest is cut off.

    Returns:
        (N, K) indices and (N, K) weights as they stand in ``R'R``.
    """
    users = np.asarray(interactions.sum(1)).ravel()
    items = np.asarray(interactions.sum(0)).ravel()
    scaled = sp.diags(_inverse(np.sqrt(users))) @ interactions @ sp.diags(_inverse(np.sqrt(items)))
    rows = scaled.T.tocsr()
    index, value = sparse_top(rows, scaled.tocsr(), top, own=False, what="Find similar items")
    own = np.asarray(rows.multiply(rows).sum(1), dtype=np.float32).reshape(-1, 1)
    place = np.arange(len(index))[:, None]
    return np.hstack([place, index]), np.hstack([own, value])


def _inverse(values: npt.NDArray) -> npt.NDArray:
    return np.divide(1.0, values, out=np.zeros_like(values), where=values > 0)


@dataclass(frozen=True)
class HopWeights:
    """Weights of an item itself and of each hop.

    Attributes:
        values: ``layers`` + 1 numbers that sum to 1.
    """

    values: tuple[float, ...]

    @classmethod
    def of(cls, share: float, config: TowerConfig) -> "HopWeights":
        """``1 - share`` for the item itself, the rest equally for each hop, unless configured.

        Args:
            share: Share of the neighbours; 0 switches the propagation off.
            config: ``layers`` and ``layer_weights``.
        """
        if share and config.layer_weights:
            return cls(config.layer_weights)
        return cls((1.0 - share, *[share / config.layers] * config.layers))

    @property
    def active(self) -> bool:
        """Whether any hop counts."""
        return any(self.values[1:])


def propagate(
    vectors: Callable[[Tensor | None], Tensor],
    neighbours: tuple[Tensor, Tensor],
    weights: HopWeights,
    index: Tensor | None = None,
) -> Tensor:
    """Return ``sum over k of w_k A^k v`` for the given items, not normalised.

    LightGCN's layer combination; with one hop and ``(1 - s, s)`` the simplified graph convolution
    (Wu et al., SGC, 2019). Only the items within reach of the asked ones are computed.

    Args:
        vectors: Items (M,), or None for all, -> (M, d) vectors before propagation.
        neighbours: (N, K) indices and (N, K) weights of A.
        weights: One per hop.
        index: (M,) items, or None for all.
    """
    near, edge = neighbours
    if not weights.active or not near.shape[1]:
        return vectors(index)
    if index is None:
        layer = vectors(None)
        total = weights.values[0] * layer
        for weight in weights.values[1:]:
            layer = _hop(layer, near, edge)
            total = total + weight * layer
        return total
    # Reach: the items needed k hops before the end, each set within the next.
    reach, places = [index], []
    for _ in weights.values[1:]:
        asked = reach[-1]
        needed, place = torch.unique(torch.cat([asked, near[asked].flatten()]), return_inverse=True)
        reach.append(needed)
        places.append((place[: len(asked)], place[len(asked) :].view(len(asked), near.shape[1])))
    layer = vectors(reach[-1])
    parts = [layer]
    for hop in reversed(range(len(places))):
        own, others = places[hop]
        parts = [part[own] for part in parts] + [_hop(parts[-1], others, edge[reach[hop]])]
    return torch.stack(
        [weight * part for weight, part in zip(weights.values, parts, strict=True)]
    ).sum(0)


def _hop(vectors: Tensor, index: Tensor, weight: Tensor) -> Tensor:
    """(M, d) weighted sums of the (M, K) neighbours."""
    return torch.nn.functional.embedding_bag(
        index, vectors, per_sample_weights=weight.to(vectors.dtype), mode="sum"
    )
