"""What the precomputed vectors of one modality add to the vectors of the items."""

import torch
from torch import Tensor, nn


class GatedProjection(nn.Module):
    """``MLP(x)`` and a linear bias for the items that have a vector x, 0 for the others.

    The gate is the item tower's, so that text has one of the same kind.

    Args:
        vectors: (N, D), as of ``Modality.prepare``; rows of zeros: the item has none.
        dim: Width d of item vectors.
    """

    vectors: Tensor
    present: Tensor

    def __init__(self, vectors: Tensor, dim: int) -> None:
        super().__init__()
        self.register_buffer("vectors", vectors, persistent=False)
        self.register_buffer("present", (vectors != 0).any(1), persistent=False)
        self.mlp = content_mlp(vectors.shape[1], dim)
        self.bias = nn.Linear(vectors.shape[1], 1, bias=False)
        nn.init.zeros_(self.bias.weight)

    def part(self, index: Tensor | None, shown: Tensor) -> Tensor:
        """Return (M, d): what they add to the item vectors.

        Args:
            index: (M,) items, or None for all.
            shown: (N,) bool, items whose vector counts in this step.
        """
        vectors, keep = self._at(index, shown)
        return torch.where(keep.unsqueeze(-1), self.mlp(vectors), 0.0)

    def bias_part(self, index: Tensor | None, shown: Tensor) -> Tensor:
        """Return (M,): what they add to the bias of items without an own one."""
        vectors, keep = self._at(index, shown)
        return torch.where(keep, self.bias(vectors).squeeze(-1), 0.0)

    def _at(self, index: Tensor | None, shown: Tensor) -> tuple[Tensor, Tensor]:
        return (self.vectors, shown) if index is None else (self.vectors[index], shown[index])


def content_mlp(width: int, dim: int) -> nn.Sequential:
    """Return the projection of a content vector of some width to an item vector."""
    hidden = 2 * dim
    return nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, dim))
