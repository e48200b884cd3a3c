"""A view of a history against a queue of the views of many other users.

He et al., "Momentum Contrast for Unsupervised Visual Representation Learning" (MoCo, 2020). With
the query q_i of the user tower on one view, the key k_i of its momentum copy on the other, and the
queue K of earlier keys:

    loss = - mean over i: log( exp(<q_i, k_i> / t) /
                               ( sum over j of the batch: exp(<q_i, k_j> / t)
                               + sum over k in K of other users: exp(<q_i, k> / t) ) )

    copy <- m copy + (1 - m) tower     after each step

Shapes: queries and keys (B, d), queue (Q, d). Earlier keys of the same user are no negatives. The
queue gives many negatives without a larger batch; the catalogue is not touched. Copy, queue
and position are part of the checkpoint.
"""

import torch
from pydantic import Field
from torch import Tensor

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

    temperature: float = Field(default=0.2, gt=0)
    """Of the cosines."""

    queue: int = Field(default=4096, ge=1)
    """Keys kept."""

    momentum: float = Field(default=0.99, ge=0, lt=1)
    """Of the momentum encoder (m)."""


def build(config: Config, context: ObjectiveContext) -> Objective:
    """Return the objective with a copy of the user tower and an empty queue."""
    return MoCo(config, context, _views.augmenter(config, context))


class MoCo(Objective):
    """The objective; arguments as of ``build``."""

    queue: Tensor
    queue_users: Tensor
    position: Tensor

    def __init__(self, config: Config, context: ObjectiveContext, change: Augmenter) -> None:
        super().__init__()
        self.config = config
        self.change = change
        self.encoder = frozen_copy(context.towers.user)
        dim = context.towers.user.history.embedding_dim
        self.register_buffer("queue", torch.zeros(config.queue, dim))
        self.register_buffer("queue_users", torch.full((config.queue,), EMPTY_PLACE))
        self.register_buffer("position", torch.zeros((), dtype=torch.int64))
        self._new: tuple[Tensor, Tensor] | None = None

    def forward(self, model: TwoTower, batch: Batch) -> Tensor:
        """Return the scalar loss."""
        kept = _views.has_history(batch)
        first, second = _views.two_views(model, batch, self.change)
        queries, users = model.user(first)[kept], batch.users[kept]
        with torch.no_grad():
            keys = self.encoder(second)[kept].to(self.queue.dtype)
        self._new = keys, users
        banned = (self.queue_users == EMPTY_PLACE) | (self.queue_users == users.unsqueeze(1))
        return loss_from_vectors(queries, keys, self.queue, banned, self.config.temperature)

    @torch.no_grad()
    def after_step(self, model: TwoTower) -> None:
        """Move the momentum encoder and put the keys of the step into the queue."""
        follow(self.encoder, model.user, self.config.momentum)
        if self._new is None:
            return
        keys, users = (part[: self.config.queue] for part in self._new)
        places = (self.position + torch.arange(len(keys), device=keys.device)) % self.config.queue
        self.queue[places] = keys
        self.queue_users[places] = users
        self.position.copy_((self.position + len(keys)) % self.config.queue)
        self._new = None


EMPTY_PLACE = -1
"""Stands for the user of a place of the queue that was never filled."""


def loss_from_vectors(
    queries: Tensor, keys: Tensor, queue: Tensor, banned: Tensor, temperature: float
) -> Tensor:
    """Return the scalar loss.

    Args:
        queries: (M, d) unit vectors.
        keys: (M, d) their partners.
        queue: (Q, d) earlier keys.
        banned: (M, Q) bool, places that are no negatives of a query.
        temperature: Of the cosines.
    """
    near = at_least_single(queries @ keys.T.to(queries.dtype)) / temperature
    far = at_least_single(queries @ queue.T.to(queries.dtype)) / temperature
    every = torch.cat([near, far.masked_fill(banned, float("-inf"))], dim=1)
    return (torch.logsumexp(every, dim=1) - near.diagonal()).sum() / max(len(queries), 1)
