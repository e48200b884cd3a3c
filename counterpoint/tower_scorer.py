"""The finished towers as a scorer of the model."""

import torch
from torch import Tensor, nn

from counterpoint.towers import UserTower


class TowerScorer(nn.Module):
    """Finished towers: the user tower with precomputed item vectors.

    Args:
        user: The user tower.
        vectors: (N0, d) unit item vectors divided by the temperature.
        bias: (N0,).
    """

    vectors: Tensor
    bias: Tensor

    def __init__(self, user: UserTower, vectors: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.user = user
        self.register_buffer("vectors", vectors)
        self.register_buffer("bias", bias)

    def forward(
        self, items: Tensor, age: Tensor, positive: Tensor, other: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return (B, N0) scores and the (P, B, L) pool weights of the history."""
        users, weights = self.user.padded(items, age, positive, other)
        return self.score(users), weights

    def score(self, users: Tensor) -> Tensor:
        """Return (B, N0) scores of (B, d) user vectors."""
        return torch.matmul(users, self.vectors.T) + self.bias

    def contributions(self, items: Tensor, weights: Tensor, winners: Tensor) -> Tensor:
        """Return (B, K, L): linearised share of each history event in the winners' scores.

        The residual MLP and the norm of the user vector are left out: they are common to all
        events, so the order of the events by their linear share is what is shown.

        Args:
            items: (B, L).
            weights: (P, B, L) pool weights.
            winners: (B, K).
        """
        dim, pools = self.vectors.shape[1], self.user.n_pools
        events = self.user.history(items)  # (B, L, d)
        targets = self.vectors[winners]  # (B, K, d)
        mix = self.user.mix.weight.reshape(dim, pools, dim).permute(1, 0, 2)  # (P, d, d)
        pulled = torch.matmul(targets.unsqueeze(1), mix)  # (B, P, K, d)
        share = torch.matmul(pulled, events.transpose(1, 2).unsqueeze(1))  # (B, P, K, L)
        return (share * weights.permute(1, 0, 2).unsqueeze(2)).sum(1)
