"""The item tower: id and text, smoothed over the item graph."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from counterpoint.config.towers import TowerConfig
from counterpoint.errors import ConfigError
from counterpoint.propagation import HopWeights, propagate


class ItemTower(nn.Module):
    """``normalise(propagate(normalise(id + gate * MLP(text))))`` and an item bias.

    Items without interactions (and, in training, a random share) have no id and no bias of their
    own: text alone stands for them.

    Args:
        text: (N, T) text vectors; T may be 0.
        popularity: (N,) positive interactions of each item.
        neighbours: (N, K) and (N, K) of ``propagation.item_graph``.
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
        self.hops = HopWeights.of(config.smoothing, config)
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

    def shown(self) -> Tensor:
        """Return (N,) bool: items whose id counts; in training a random share is hidden."""
        drop = self.config.id_dropout if self.training and self.mlp is not None else 0.0
        if not drop:
            return self.warm
        return self.warm & (torch.rand(len(self.warm), device=self.warm.device) >= drop)

    def base(self, index: Tensor | None, shown: Tensor) -> Tensor:
        """Return (M, d) unit vectors before propagation.

        Args:
            index: (M,) items, or None for all.
            shown: (N,) bool, items whose id counts.
        """
        own = self.id.weight if index is None else self.id(index)
        if self.mlp is None:
            return functional.normalize(own, dim=-1)
        text, keep = (self.text, shown) if index is None else (self.text[index], shown[index])
        vectors = torch.where(keep.unsqueeze(-1), own, 0.0) + self.config.text_gate * self.mlp(text)
        return functional.normalize(vectors, dim=-1)

    def biases(self, index: Tensor | None, shown: Tensor) -> Tensor:
        """Return (M,) biases; arguments as of ``base``."""
        bias = (self.bias.weight if index is None else self.bias(index)).squeeze(-1)
        if self.text_bias is None:
            return bias
        text, keep = (self.text, shown) if index is None else (self.text[index], shown[index])
        return torch.where(keep, bias, self.text_bias(text).squeeze(-1))

    def forward(self, index: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return (M, d) unit vectors and (M,) biases of the given items, or of all."""
        shown = self.shown()
        neighbours = self.neighbour_index, self.neighbour_weight
        vectors = propagate(lambda i: self.base(i, shown), neighbours, self.hops, index)
        if self.hops.active:
            vectors = functional.normalize(vectors, dim=-1)
        return vectors, self.biases(index, shown)

    def views(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Return (M, d) unit vectors from the ids alone and from the text alone.

        Args:
            index: (M,) items.
        """
        if self.mlp is None:
            raise ConfigError(["The items have no text, so there is no second view of an item."])
        ids = functional.normalize(self.id(index), dim=-1)
        return ids, functional.normalize(self.mlp(self.text[index]), dim=-1)


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
