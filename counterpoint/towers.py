"""The two towers: items from id, text and modalities, users from their history alone."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from counterpoint.config.towers import TowerConfig
from counterpoint.item_tower import ItemTower, initial_ids
from counterpoint.propagation import HopWeights
from counterpoint.user_tower import UserTower

__all__ = ["ItemTower", "TwoTower", "UserTower", "build", "initial_ids"]


class TwoTower(nn.Module):
    """User tower, item tower and the temperature of their logits.

    Args:
        user: User tower.
        item: Item tower.
        config: The temperature: learned, fixed, or on a cosine from the first to the final one.
    """

    def __init__(self, user: UserTower, item: ItemTower, config: TowerConfig) -> None:
        super().__init__()
        self.user = user
        self.item = item
        self.config = config
        self.log_temperature = nn.Parameter(
            torch.tensor(math.log(config.temperature)),
            requires_grad=config.temperature_schedule == "learned",
        )

    def set_progress(self, done: float) -> None:
        """Move a scheduled temperature; nothing else depends on the progress.

        Args:
            done: Share of the steps before this one, 0 to 1.
        """
        if self.config.temperature_schedule == "cosine":
            first, last = self.config.temperature, self.config.final_temperature
            now = last + (first - last) * (1.0 + math.cos(math.pi * done)) / 2.0
            self.log_temperature.data.fill_(math.log(now))

    @property
    def n_items(self) -> int:
        """N."""
        return len(self.item.warm)

    def logits(self, users: Tensor, vectors: Tensor, bias: Tensor) -> Tensor:
        """Return (B, M) logits ``<u, v> / temperature + bias``."""
        return users @ vectors.T * torch.exp(-self.log_temperature) + bias


def build(
    text: Tensor,
    popularity: Tensor,
    neighbours: tuple[Tensor, Tensor],
    config: TowerConfig,
    modalities: Mapping[str, Tensor] | None = None,
) -> TwoTower:
    """Assemble the towers; the history table starts from the same components as the ids."""
    item = ItemTower(text, popularity, neighbours, config, modalities)
    user = UserTower(len(text), config.dim, config.pools, config.dropout)
    hops = HopWeights.of(config.history_smoothing, config)
    if hops.active and neighbours[0].shape[1]:
        user.smooth_over(neighbours, hops)
    with torch.no_grad():
        user.history.weight.copy_(item.id.weight)
    return TwoTower(user, item, config)
