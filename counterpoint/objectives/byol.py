"""One view of a history predicts the other; no negatives.

Grill et al., "Bootstrap Your Own Latent" (BYOL, 2020). With the user tower f, its momentum copy
g and a predictor h, on the views a and b of a history:

    loss = mean over users: 2 - <h(f(a)), g(b)> - <h(f(b)), g(a)>        (unit vectors)
    g <- m g + (1 - m) f     after each step

Shapes: views (B, d). Half the squared distance of the paper, symmetrised; zero is the least. The
copy gets no gradient, which together with the predictor keeps the vectors from collapsing. Both are
part of the checkpoint; the predictor is trained and not served.
"""

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from counterpoint.batches import Batch
from counterpoint.objectives import _views
from counterpoint.objectives._objective import (
    Objective,
    ObjectiveContext,
    follow,
    frozen_copy,
)
from counterpoint.precision import at_least_single
from counterpoint.sampling.augment import Augmenter
from counterpoint.towers import TwoTower


class Config(_views.ViewOptions):
    """Options of the objective."""

    momentum: float = Field(default=0.99, ge=0, lt=1)
    """Of the target encoder (m)."""

    hidden: int = Field(default=256, ge=1)
    """Width of the predictor's hidden layer."""


def build(config: Config, context: ObjectiveContext) -> Objective:
    """Return the objective with a copy of the user tower and a fresh predictor."""
    return Byol(config, context, _views.augmenter(config, context))


class Byol(Objective):
    """The objective; arguments as of ``build``."""

    def __init__(self, config: Config, context: ObjectiveContext, change: Augmenter) -> None:
        super().__init__()
        self.config = config
        self.change = change
        self.target = frozen_copy(context.towers.user)
        dim = context.towers.user.history.embedding_dim
        self.predictor = nn.Sequential(
            nn.Linear(dim, config.hidden), nn.GELU(), nn.Linear(config.hidden, dim)
        )

    def forward(self, model: TwoTower, batch: Batch) -> Tensor:
        """Return the scalar loss."""
        kept = _views.has_history(batch)
        first, second = _views.two_views(model, batch, self.change)
        with torch.no_grad():
            targets = self.target(first)[kept], self.target(second)[kept]
        one, two = (self.predictor(model.user(view)[kept]) for view in (first, second))
        return loss_from_vectors(one, targets[1]) + loss_from_vectors(two, targets[0])

    def after_step(self, model: TwoTower) -> None:
        """Move the target encoder."""
        follow(self.target, model.user, self.config.momentum)


def loss_from_vectors(predicted: Tensor, target: Tensor) -> Tensor:
    """Return the mean of ``1 - cosine``.

    Args:
        predicted: (M, d).
        target: (M, d).
    """
    cosine = functional.cosine_similarity(
        at_least_single(predicted), at_least_single(target.to(predicted.dtype))
    )
    return (1.0 - cosine).sum() / max(len(predicted), 1)
