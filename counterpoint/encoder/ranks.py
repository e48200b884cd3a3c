"""Processes that train one model together (torchrun): who reads what, and how it is joined."""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

T = TypeVar("T", Tensor, np.ndarray)


@dataclass(frozen=True)
class Ranks:
    """One of several processes.

    Attributes:
        rank: Which one.
        world: How many there are.
    """

    rank: int = 0
    world: int = 1

    def share(self, rows: T) -> T:
        """Return this process's part of something all have: every ``world``-th row."""
        return rows[self.rank :: self.world]

    def gather(self, mine: Tensor) -> Tensor:
        """Return the rows of all processes in their order before ``share``; without gradient.

        Args:
            mine: (M, D); the processes may differ by one row.
        """
        if self.world == 1:
            return mine
        counts = [torch.zeros(1, dtype=torch.int64, device=mine.device) for _ in range(self.world)]
        dist.all_gather(counts, torch.tensor([len(mine)], device=mine.device))
        sizes = [int(count) for count in counts]
        padded = mine.new_zeros(max(sizes), *mine.shape[1:])
        padded[: len(mine)] = mine
        parts = [torch.zeros_like(padded) for _ in range(self.world)]
        dist.all_gather(parts, padded)
        out = mine.new_zeros(sum(sizes), *mine.shape[1:])
        for rank, (part, size) in enumerate(zip(parts, sizes, strict=True)):
            out[rank :: self.world] = part[:size]
        return out

    def sum_gradients(self, parameters: list[nn.Parameter]) -> None:
        """Add up the gradients of all processes; each has the sum afterwards."""
        if self.world == 1:
            return
        for weight in parameters:
            if weight.grad is None:
                weight.grad = torch.zeros_like(weight)
            dist.all_reduce(weight.grad)


ALONE = Ranks()
"""No other process."""


def current() -> Ranks:
    """Return the place of this process in the group that torchrun made, if there is one."""
    if dist.is_available() and dist.is_initialized():
        return Ranks(dist.get_rank(), dist.get_world_size())
    return ALONE
