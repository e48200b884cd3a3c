"""Batches and towers made by hand."""

import numpy as np
import torch

from counterpoint.batches import Batch
from counterpoint.config.towers import TowerConfig
from counterpoint.histories import Histories
from counterpoint.objectives._objective import ObjectiveContext
from counterpoint.towers import TwoTower, build


def batch(
    histories: list[list[int]],
    targets: list[list[int]],
    positive: list[list[bool]] | None = None,
) -> Batch:
    """One example per list; events are positive unless said otherwise."""
    flags = positive or [[True] * len(history) for history in histories]
    ages = [[float(sum(user[place + 1 :])) for place in range(len(user))] for user in flags]

    def flat(lists: list[list], dtype: torch.dtype) -> torch.Tensor:
        return torch.tensor([x for part in lists for x in part], dtype=dtype)

    def owner(lists: list[list]) -> torch.Tensor:
        return torch.repeat_interleave(
            torch.arange(len(lists)), torch.tensor([len(part) for part in lists])
        )

    return Batch(
        flat(histories, torch.int64),
        owner(histories),
        flat(ages, torch.float32),
        flat(flags, torch.bool),
        flat(targets, torch.int64),
        owner(targets),
        len(histories),
        torch.arange(len(histories)),
    )


def two_tower(n_items: int, *, text_dim: int = 4, cold: int = 0, **options: float) -> TwoTower:
    """Random towers with everything switched on; the last ``cold`` items have no interaction."""
    popularity = torch.arange(1.0, n_items + 1)
    if cold:
        popularity[-cold:] = 0
    text = torch.nn.functional.normalize(torch.randn(n_items, text_dim), dim=-1)
    index = torch.randint(0, n_items, (n_items, 3))
    weight = torch.full((n_items, 3), 1 / 3)
    model = build(text, popularity, (index, weight), TowerConfig(dim=8, **options))
    with torch.no_grad():
        for parameter in model.user.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def context(
    model: TwoTower, histories: Histories, *, full_softmax: bool = True, length: int = 512
) -> ObjectiveContext:
    """What a fit on these histories would tell an objective."""
    liked = histories.matrix(model.n_items, positive_only=True)
    popularity = torch.from_numpy(np.asarray(liked.sum(0), dtype=np.float32).ravel())
    return ObjectiveContext(popularity, full_softmax, model, histories, liked, length)
