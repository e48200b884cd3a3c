"""Processes that train one model together (torchrun): who reads what, and how it is joined.

Each text belongs to one process, which alone reads, tokenises and encodes it.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist
from torch import Tensor, nn

from counterpoint.encoder.tokens import Rows


@dataclass(frozen=True)
class Ranks:
    """One of several processes.

    Attributes:
        rank: Which one.
        world: How many there are.
    """

    rank: int = 0
    world: int = 1

    def share(self, rows: Rows) -> Rows:
        """Return those of some texts that belong to this process, in their order."""
        return rows[self.owns(rows)]

    def owns(self, rows: Rows) -> npt.NDArray[np.bool_]:
        """Return which of some texts belong to this process."""
        return rows % self.world == self.rank

    def gather(self, mine: Tensor, rows: Rows) -> Tensor:
        """Return what all processes have of some texts; without gradient.

        Args:
            mine: (M, D) of the texts ``share(rows)``.
            rows: (U,) texts, the same in all processes.
        """
        if self.world == 1:
            return mine
        owner = rows % self.world
        sizes = np.bincount(owner, minlength=self.world)
        padded = mine.new_zeros(int(sizes.max()), *mine.shape[1:])
        padded[: len(mine)] = mine
        parts = [torch.zeros_like(padded) for _ in range(self.world)]
        dist.all_gather(parts, padded)
        out = mine.new_zeros(len(rows), *mine.shape[1:])
        for rank, part in enumerate(parts):
            places = torch.from_numpy(np.flatnonzero(owner == rank)).to(out.device)
            out[places] = part[: sizes[rank]]
        return out

    def most(self, *numbers: int, device: torch.device) -> list[int]:
        """Return the greatest of each number over the processes."""
        if self.world == 1:
            return [*numbers]
        joined = torch.tensor(numbers, device=device)
        dist.all_reduce(joined, dist.ReduceOp.MAX)
        return [int(number) for number in joined]

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
