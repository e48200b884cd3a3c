"""InfoNCE from a history prefix to the positives that follow it.

van den Oord et al., "Representation Learning with Contrastive Predictive Coding" (2018), with all
other items of the catalogue as negatives:

    loss = - mean over users u, mean over targets t of u:
             log( exp(l[u, t]) / sum over items i outside the history of u: exp(l[u, i]) )

with ``l[u, i] = <user_u, item_i> / temperature + bias_i``. Shapes: logits (B, N), targets as (T,)
pairs. A catalogue too large for that uses negatives with logQ correction, see
``sampling.negatives``: the sum becomes ``exp(l[u, t])`` plus an estimate of the sum over the items
that are neither in the history nor a target of u. ``mask_false_negatives`` takes the same sum in
the full form, without all the items u has liked in the fit. ``hard`` adds the exponentials of hard
negatives once more, items that are similar but not the user's own: harder, no longer an estimate.

The temperature belongs to the towers: ``train.tower.temperature_schedule``.
"""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from counterpoint.batches import Batch
from counterpoint.config.base import Section
from counterpoint.objectives import _softmax
from counterpoint.objectives._objective import Objective, ObjectiveContext
from counterpoint.objectives._softmax import Scored
from counterpoint.sampling.negatives import (
    NegativeMixture,
    NegativeSampler,
    similar_to_targets,
)
from counterpoint.sampling.user_items import UserItems
from counterpoint.towers import TwoTower


class Config(Section):
    """Options of the objective."""

    weight: float = Field(default=1.0, ge=0)
    """Factor of this term in the total loss."""

    negatives: Literal["auto", "sampled", "in_batch", "mixed"] = "auto"
    """``auto``: all items, or ``sampled`` where the catalogue is too large. ``in_batch``: the other
    users' targets. ``mixed``: these and sampled items."""

    samples: int = Field(default=4096, ge=1)
    """Negatives drawn per batch where the softmax is ``sampled`` or ``mixed``."""

    power: float | None = Field(default=None, ge=0)
    """Negatives are drawn in proportion to (popularity + 1) to this power; null: 0.75 where
    ``sampled``, 0 (uniform) where ``mixed``."""

    logq: bool = True
    """Correct the logits of negatives for how often they are drawn."""

    mask_false_negatives: bool = False
    """Items the user likes anywhere in the fit do not count as negatives."""

    hard: int = Field(default=0, ge=0)
    """Hard negatives per user."""

    hard_by: Literal["co_occurrence", "vectors"] = "co_occurrence"
    """Hard negatives: neighbours of the targets, or the items that score highest now."""


def build(config: Config, context: ObjectiveContext) -> Objective:
    """Return the full or a sampled form, by the options and the size of the catalogue."""
    return InfoNCE(
        config,
        mixture(config, context.popularity, full_softmax=context.full_softmax),
        UserItems(context.liked) if config.mask_false_negatives else None,
    )


def mixture(config: Config, popularity: Tensor, *, full_softmax: bool) -> NegativeMixture | None:
    """Return where the negatives come from; None: the whole catalogue.

    Args:
        config: Options.
        popularity: (N,) counts.
        full_softmax: Whether the catalogue is small enough for all of it.
    """
    if config.negatives == "auto" and full_softmax:
        return None
    mixed = config.negatives == "mixed"
    power = config.power if config.power is not None else (0.0 if mixed else 0.75)
    drawn = config.negatives != "in_batch"
    return NegativeMixture(
        NegativeSampler.from_popularity(popularity, power=power) if drawn else None,
        config.samples,
        None
        if config.negatives in ("auto", "sampled")
        else popularity / popularity.sum().clamp(min=1.0),
    )


class InfoNCE(Objective):
    """The objective.

    Args:
        config: Options.
        mixture: Where the negatives come from; None: the whole catalogue.
        liked: Masked beside history and targets, if given.
    """

    def __init__(
        self, config: Config, mixture: NegativeMixture | None, liked: UserItems | None
    ) -> None:
        super().__init__()
        self.config = config
        self.mixture = mixture
        self.liked = liked

    def forward(self, model: TwoTower, batch: Batch) -> Tensor:
        """Return the scalar loss."""
        if self.mixture is None:
            return self._full(model, batch)
        negatives = self.mixture.draw(batch)
        hard = self._similar(model, batch)
        scored = _softmax.score_some(model, batch, negatives, *([] if hard is None else [hard]))
        own = self._own(scored, batch)
        rest = _softmax.rest_by_sampling(
            scored, own, negatives, self.mixture, batch, logq=self.config.logq
        )
        return self._loss(scored, self._with_hard(rest, scored, own, hard), batch)

    def _full(self, model: TwoTower, batch: Batch) -> Tensor:
        scored = _softmax.score_all(model, batch)
        if not self.config.hard and self.liked is None:
            return loss_from_logits(scored.logits, batch)
        own = self._own(scored, batch)
        hidden = own if self.liked is not None else scored.marked((batch.owner, batch.items))
        rest = _softmax.rest_of_all(scored, hidden)
        rest = self._with_hard(rest, scored, own, self._similar(model, batch))
        if self.liked is not None:
            return self._loss(scored, rest, batch)
        positive = scored.of(batch.target_owner, batch.target_items)
        return _softmax.mean_over_users(rest[batch.target_owner] - positive, batch)

    def _own(self, scored: Scored, batch: Batch) -> Tensor:
        """(B, C) bool: no negatives of the user."""
        pairs = [(batch.owner, batch.items), (batch.target_owner, batch.target_items)]
        if self.liked is not None:
            pairs.append(self.liked.entries(batch.users)[:2])
        return scored.marked(*pairs)

    def _similar(self, model: TwoTower, batch: Batch) -> Tensor | None:
        """(B, H) items similar to the targets, where these are the hard negatives."""
        if not self.config.hard or self.config.hard_by != "co_occurrence":
            return None
        neighbours = model.item.neighbour_index, model.item.neighbour_weight
        return similar_to_targets(batch, neighbours, self.config.hard)

    def _with_hard(self, rest: Tensor, scored: Scored, own: Tensor, items: Tensor | None) -> Tensor:
        """(B,) rest with the hard negatives counted once more."""
        if not self.config.hard:
            return rest
        masked = scored.logits.masked_fill(own, _softmax.EMPTY)
        if items is None:
            extra = torch.topk(masked, min(self.config.hard, masked.shape[1])).values
        else:
            extra = masked.gather(1, scored.columns(items.flatten())[0].view(items.shape))
        return torch.logaddexp(rest, torch.logsumexp(extra, dim=-1))

    def _loss(self, scored: Scored, rest: Tensor, batch: Batch) -> Tensor:
        positive = scored.of(batch.target_owner, batch.target_items)
        return _softmax.mean_over_users(_softmax.against(positive, rest, batch), batch)


def full(model: TwoTower, batch: Batch) -> Tensor:
    """Return the scalar loss over the whole catalogue."""
    return loss_from_logits(_softmax.score_all(model, batch).logits, batch)


def loss_from_logits(logits: Tensor, batch: Batch, weights: Tensor | None = None) -> Tensor:
    """Return the loss of given logits.

    Args:
        logits: (B, N).
        batch: Histories (masked out) and targets.
        weights: (T,) weights of the targets within a user; equal by default.
    """
    seen = Scored(logits).marked((batch.owner, batch.items))
    log_probability = torch.log_softmax(logits.masked_fill(seen, _softmax.EMPTY), dim=-1)
    losses = -log_probability[batch.target_owner, batch.target_items]
    return _softmax.mean_over_users(losses, batch, weights)
