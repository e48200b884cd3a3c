"""What the trainer asks of an objective."""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from counterpoint.batches import Batch
from counterpoint.towers import TwoTower


@dataclass(frozen=True)
class ObjectiveContext:
    """Facts of the fit that an objective may build on.

    Attributes:
        popularity: (N,) positive interactions per item.
        full_softmax: Whether the catalogue is small enough for logits over all items.
    """

    popularity: Tensor
    full_softmax: bool


class Objective(Protocol):
    """One term of the loss.

    A plugin file holds ``class Config(Section)`` (with ``weight``) and
    ``build(config, context) -> Objective``.
    """

    def __call__(self, model: TwoTower, batch: Batch) -> Tensor:
        """Return the scalar loss of a batch."""
        ...
