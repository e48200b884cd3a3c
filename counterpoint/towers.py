"""The two towers: items from id and text, users from their history alone."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from counterpoint.batches import Batch
from counterpoint.config.train import TowerConfig
from counterpoint.propagation import smooth


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
    """

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
        with torch.no_grad():
            self.attention.weight.zero_()
            # Starts as the mean of the positive pools: content-based before the first step.
            share = torch.eye(dim) / (self.n_pools - 1)
            self.mix.weight.copy_(
                torch.cat([share] * (self.n_pools - 1) + [torch.zeros(dim, dim)], dim=1)
            )
            last.weight.zero_()
            last.bias.zero_()

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
        attention = torch.exp(4.0 * torch.tanh(self.attention(items).squeeze(-1).float()))
        pools = [attention * liked]
        # The newest positive has age 0 and thus weight 1: the sum never underflows.
        pools += [torch.exp(-age / decay) * liked for decay in self.decays]
        pools.append(other.to(age.dtype))
        return torch.stack(pools)

    def combine(self, pools: Tensor) -> Tensor:
        """Return (B, d) unit vectors from (B, P * d) pools."""
        pools = self.dropout(pools)
        return functional.normalize(self.mix(pools) + self.residual(pools), dim=-1)

    def forward(self, batch: Batch) -> Tensor:
        """Return (B, d) user vectors of a ragged batch (training)."""
        raw = self.raw_weights(batch.items, batch.age, batch.positive, ~batch.positive)
        total = raw.new_zeros(len(raw), batch.size).index_add(1, batch.owner, raw)
        weights = raw / total.clamp(min=1e-12)[:, batch.owner]
        lengths = torch.bincount(batch.owner, minlength=batch.size)
        offsets = functional.pad(lengths.cumsum(0), (1, 0))[:-1]
        pools = [
            functional.embedding_bag(
                batch.items,
                self.history.weight,
                offsets,
                per_sample_weights=weight.to(self.history.weight.dtype),
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
        vectors = self.history(items)  # (B, L, d)
        pools = torch.matmul(weights.permute(1, 0, 2), vectors)  # (B, P, d)
        return self.combine(pools.flatten(1)), weights


class ItemTower(nn.Module):
    """``smooth(normalise(id + gate * MLP(text)))`` and an item bias.

    Items without interactions (and, in training, a random share) have no id and no bias of their
    own: text alone stands for them.

    Args:
        text: (N, T) text vectors; T may be 0.
        popularity: (N,) positive interactions of each item.
        neighbours: (N, K) and (N, K) of ``propagation.co_occurrence_neighbours``.
        config: Sizes and shares.
    """

    text: Tensor
    warm: Tensor
    neighbour_index: Tensor
    neighbour_weight: Tensor

    def __init__(
        self,
        text: Tensor,
        popularity: Tensor,
        neighbours: tuple[Tensor, Tensor],
        config: TowerConfig,
    ) -> None:
        super().__init__()
        n_items, text_dim = text.shape
        self.config = config
        self.register_buffer("text", text, persistent=False)
        self.register_buffer("warm", popularity > 0, persistent=False)
        self.register_buffer("neighbour_index", neighbours[0], persistent=False)
        self.register_buffer("neighbour_weight", neighbours[1], persistent=False)
        self.id = nn.Embedding(n_items, config.dim)
        with torch.no_grad():
            self.id.weight.copy_(initial_ids(text, config))
        bias = 0.5 * torch.log(popularity.clamp(min=0.5))
        self.bias = nn.Embedding.from_pretrained(bias.unsqueeze(1), freeze=False)
        self.mlp: nn.Module | None = None
        self.text_bias: nn.Module | None = None
        if text_dim:
            hidden = 2 * config.dim
            self.mlp = nn.Sequential(
                nn.Linear(text_dim, hidden), nn.GELU(), nn.Linear(hidden, config.dim)
            )
            self.text_bias = nn.Linear(text_dim, 1)
            nn.init.zeros_(self.text_bias.weight)
            nn.init.constant_(self.text_bias.bias, float(bias.mean()))

    def base(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Return (M, d) unsmoothed unit vectors and (M,) biases of the given items."""
        own, bias = self.id(index), self.bias(index).squeeze(-1)
        if self.mlp is None or self.text_bias is None:
            return functional.normalize(own, dim=-1), bias
        text = self.text[index]
        keep = self.warm[index]
        if self.training and self.config.id_dropout:
            keep = keep & (torch.rand(len(index), device=index.device) >= self.config.id_dropout)
        vectors = torch.where(keep.unsqueeze(-1), own, 0.0) + self.config.text_gate * self.mlp(text)
        return functional.normalize(vectors, dim=-1), torch.where(
            keep, bias, self.text_bias(text).squeeze(-1)
        )

    def forward(self, index: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return (M, d) unit vectors and (M,) biases of the given items, or of all."""
        if index is None:
            vectors, bias = self.base(torch.arange(len(self.warm), device=self.warm.device))
            near, weight = self.neighbour_index, self.neighbour_weight
        else:
            near, weight = self.neighbour_index[index], self.neighbour_weight[index]
            others, place = torch.unique(near, return_inverse=True)
            vectors, bias = self.base(torch.cat([index, others]))
            near, bias = place + len(index), bias[: len(index)]
        return smooth(vectors, near, weight, self.config.smoothing), bias


class TwoTower(nn.Module):
    """User tower, item tower and a learned temperature."""

    def __init__(self, user: UserTower, item: ItemTower, temperature: float) -> None:
        super().__init__()
        self.user = user
        self.item = item
        self.log_temperature = nn.Parameter(torch.tensor(float(np.log(temperature))))

    @property
    def n_items(self) -> int:
        """N."""
        return len(self.item.warm)

    def logits(self, users: Tensor, vectors: Tensor, bias: Tensor) -> Tensor:
        """Return (B, M) logits ``<u, v> / temperature + bias``."""
        return users @ vectors.T * torch.exp(-self.log_temperature) + bias


def initial_ids(text: Tensor, config: TowerConfig) -> Tensor:
    """Return (N, d) initial item ids: scaled principal components of the text, else noise.

    Noise of a hundredth of the scale separates items of equal text.
    """
    n_items = len(text)
    noise = torch.randn(n_items, config.dim)
    described = (text != 0).any(1) if text.shape[1] else torch.zeros(n_items, dtype=torch.bool)
    width = min(config.dim, text.shape[1], int(described.sum()) - 1)
    if width < 1:
        return config.id_scale * noise
    centred = torch.where(described.unsqueeze(1), text - text[described].mean(0), 0.0)
    _, values, axes = torch.linalg.svd(centred, full_matrices=False)
    scores = centred @ axes[:width].T
    scores = scores / values[0].clamp(min=1e-12) * n_items**0.5
    ids = 0.01 * noise
    ids[:, :width] += scores
    return config.id_scale * torch.where(described.unsqueeze(1), ids, noise)


def build(
    text: Tensor,
    popularity: Tensor,
    neighbours: tuple[Tensor, Tensor],
    config: TowerConfig,
) -> TwoTower:
    """Assemble the towers; the history table starts from the same text components as the ids."""
    item = ItemTower(text, popularity, neighbours, config)
    user = UserTower(len(text), config.dim, config.pools, config.dropout)
    with torch.no_grad():
        user.history.weight.copy_(item.id.weight)
    return TwoTower(user, item, config.temperature)
