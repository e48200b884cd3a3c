"""What the trainer asks of an objective."""

from copy import deepcopy
from dataclasses import dataclass

import scipy.sparse as sp
import torch
from torch import Tensor, nn

from counterpoint.batches import Batch
from counterpoint.histories import Histories
from counterpoint.towers import TwoTower


@dataclass(frozen=True)
class ObjectiveContext:
    """Facts of the fit that an objective may build on.

    Attributes:
        popularity: (N,) positive interactions per item.
        full_softmax: Whether the catalogue is small enough for logits over all items.
        towers: Before the first step, e.g. to copy an encoder from.
        histories: (U,) users of the fit with all their events.
        liked: (U, N) their positives, each pair once.
        history_length: Newest events of a history that the model reads.
    """

    popularity: Tensor
    full_softmax: bool
    towers: TwoTower
    histories: Histories
    liked: sp.csr_matrix
    history_length: int


class Objective(nn.Module):
    """One term of the loss.

    A plugin file holds ``class Config(Section)`` (with ``weight``) and
    ``build(config, context) -> Objective``. The trainer optimises the parameters, and writes
    parameters and persistent buffers to the checkpoint. ``forward`` leaves them as they are, so
    that a batch can be computed again; what changes from step to step is moved in ``after_step``.
    """

    def forward(self, model: TwoTower, batch: Batch) -> Tensor:
        """Return the scalar loss of a batch, at least zero (``uncertainty`` weights need that)."""
        raise NotImplementedError

    def after_step(self, model: TwoTower) -> None:
        """Move state that is not trained by gradient, e.g. a momentum encoder."""


@torch.no_grad()
def follow(slow: nn.Module, fast: nn.Module, momentum: float) -> None:
    """Move the parameters of a momentum encoder: ``slow = m slow + (1 - m) fast``."""
    for behind, ahead in zip(slow.parameters(), fast.parameters(), strict=True):
        behind.lerp_(ahead, 1.0 - momentum)


def frozen_copy(module: nn.Module) -> nn.Module:
    """Return a copy that gets no gradient."""
    return deepcopy(module).requires_grad_(False)
