"""The user tower: a user is the history alone."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from counterpoint.batches import Batch
from counterpoint.landmarks import Landmarks
from counterpoint.precision import at_least_single
from counterpoint.propagation import HopWeights, propagate


class UserTower(nn.Module):
    """Multi-scale recency pools of the history, mixed linearly plus a residual MLP, L2-normalised.

    Pools: positives with learned attention per item; positives with weight ``exp(-age / decay)``
    for each decay; negatives uniformly. Each pool is a weighted mean. No user has a parameter, so
    a new user is folded in without training.

    Args:
        n_items: N.
        dim: d.
        decays: Decay lengths in positives since.
        dropout: On the pools and inside the MLP.

    Attributes:
        landmarks: Set after training, see ``landmarks.py``: mixes similar users into a user.
    """

    landmarks: Landmarks | None
    neighbour_index: Tensor
    neighbour_weight: Tensor

    def __init__(self, n_items: int, dim: int, decays: Sequence[float], dropout: float) -> None:
        super().__init__()
        self.decays = tuple(decays)
        self.n_pools = len(self.decays) + 2
        self.history = nn.Embedding(n_items, dim)
        self.attention = nn.Embedding(n_items, 1)
        self.mix = nn.Linear(self.n_pools * dim, dim, bias=False)
        last = nn.Linear(2 * dim, dim)
        self.residual = nn.Sequential(
            nn.Linear(self.n_pools * dim, 2 * dim), nn.GELU(), nn.Dropout(dropout), last
        )
        self.dropout = nn.Dropout(dropout)
        self.landmarks = None
        self.hops = HopWeights((1.0,))
        with torch.no_grad():
            self.attention.weight.zero_()
            # Starts as the mean of the positive pools: content-based before the first step.
            share = torch.eye(dim) / (self.n_pools - 1)
            self.mix.weight.copy_(
                torch.cat([share] * (self.n_pools - 1) + [torch.zeros(dim, dim)], dim=1)
            )
            last.weight.zero_()
            last.bias.zero_()

    def smooth_over(self, neighbours: tuple[Tensor, Tensor], hops: HopWeights) -> None:
        """Propagate the history vectors over the item graph from now on.

        Args:
            neighbours: (N, K) and (N, K) of ``propagation.item_graph``.
            hops: Weights of the hops.
        """
        self.register_buffer("neighbour_index", neighbours[0], persistent=False)
        self.register_buffer("neighbour_weight", neighbours[1], persistent=False)
        self.hops = hops

    def table(self, index: Tensor | None = None) -> Tensor:
        """Return (M, d) history vectors of the given items, or of all, after propagation."""
        if not self.hops.active:
            return self.history.weight if index is None else self.history(index)
        neighbours = self.neighbour_index, self.neighbour_weight
        rows = self.history.weight
        return propagate(lambda i: rows if i is None else rows[i], neighbours, self.hops, index)

    def bake(self) -> None:
        """Write the propagated vectors into the table: served without the graph."""
        with torch.no_grad():
            self.history.weight.copy_(self.table())
        self.hops = HopWeights((1.0,))

    def raw_weights(self, items: Tensor, age: Tensor, positive: Tensor, other: Tensor) -> Tensor:
        """Return the unnormalised weight of each event in each pool.

        Args:
            items: (...) int64 catalogue indices.
            age: (...) float32.
            positive: (...) bool.
            other: (...) bool, events that are not positive; padding is neither.

        Returns:
            (P, ...) float32.
        """
        liked = positive.to(age.dtype)
        # Bounded, so that the exponential cannot overflow: no running maximum is needed.
        attention = torch.exp(4.0 * torch.tanh(at_least_single(self.attention(items).squeeze(-1))))
        pools = [attention * liked]
        # The newest positive has age 0 and thus weight 1: the sum never underflows.
        pools += [torch.exp(-age / decay) * liked for decay in self.decays]
        pools.append(other.to(age.dtype))
        return torch.stack(pools)

    def combine(self, pools: Tensor) -> Tensor:
        """Return (B, d) unit vectors from (B, P * d) pools."""
        pools = self.dropout(pools)
        vectors = functional.normalize(self.mix(pools) + self.residual(pools), dim=-1)
        return vectors if self.landmarks is None else self.landmarks(vectors)

    def forward(self, batch: Batch) -> Tensor:
        """Return (B, d) user vectors of a ragged batch (training)."""
        raw = self.raw_weights(batch.items, batch.age, batch.positive, ~batch.positive)
        total = raw.new_zeros(len(raw), batch.size).index_add(1, batch.owner, raw)
        weights = raw / total.clamp(min=1e-12)[:, batch.owner]
        lengths = torch.bincount(batch.owner, minlength=batch.size)
        offsets = functional.pad(lengths.cumsum(0), (1, 0))[:-1]
        items, table = batch.items, self.history.weight
        if self.hops.active:
            needed, items = torch.unique(items, return_inverse=True)
            table = self.table(needed)
        pools = [
            functional.embedding_bag(
                items,
                table,
                offsets,
                per_sample_weights=weight.to(table.dtype),
                mode="sum",
            )
            for weight in weights
        ]
        return self.combine(torch.cat(pools, dim=-1))

    def padded(
        self, items: Tensor, age: Tensor, positive: Tensor, other: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return user vectors of padded histories (serving) and the weights of their pools.

        Args:
            items: (B, L) int64 catalogue indices; any index at padding.
            age: (B, L) float32.
            positive: (B, L) bool.
            other: (B, L) bool.

        Returns:
            (B, d) unit vectors and (P, B, L) normalised pool weights.
        """
        raw = self.raw_weights(items, age, positive, other)
        weights = raw / raw.sum(-1, keepdim=True).clamp(min=1e-12)
        vectors = self.table()[items] if self.hops.active else self.history(items)  # (B, L, d)
        pools = torch.matmul(weights.permute(1, 0, 2), vectors)  # (B, P, d)
        return self.combine(pools.flatten(1)), weights
