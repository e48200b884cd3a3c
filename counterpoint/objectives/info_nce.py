"""InfoNCE from a history prefix to the positives that follow it.

van den Oord et al., "Representation Learning with Contrastive Predictive Coding" (2018), with all
other items of the catalogue as negatives:

    loss = - mean over users u, mean over targets t of u:
             log( exp(l[u, t]) / sum over items i outside the history of u: exp(l[u, i]) )

with ``l[u, i] = <user_u, item_i> / temperature + bias_i``. Shapes: logits (B, N), targets as (T,)
pairs. A catalogue too large for that uses S sampled negatives with logQ correction.
"""

import torch
from pydantic import Field
from torch import Tensor

from counterpoint.batches import Batch
from counterpoint.config.base import Section
from counterpoint.objectives._objective import Objective, ObjectiveContext
from counterpoint.sampling.negatives import NegativeSampler
from counterpoint.towers import TwoTower


class Config(Section):
    """Options of the objective."""

    weight: float = Field(default=1.0, ge=0)
    """Factor of this term in the total loss."""

    samples: int = Field(default=4096, ge=1)
    """Negatives per batch where the softmax is sampled."""


def build(config: Config, context: ObjectiveContext) -> Objective:
    """Return the full or the sampled form, by the size of the catalogue."""
    if context.full_softmax:
        return full
    sampler = NegativeSampler.from_popularity(context.popularity)

    def objective(model: TwoTower, batch: Batch) -> Tensor:
        return sampled(model, batch, sampler, config.samples)

    return objective


def full(model: TwoTower, batch: Batch) -> Tensor:
    """Return the scalar loss over the whole catalogue."""
    vectors, bias = model.item()
    logits = model.logits(model.user(batch), vectors, bias).float()
    return loss_from_logits(logits, batch)


def loss_from_logits(logits: Tensor, batch: Batch) -> Tensor:
    """Return the loss of given logits.

    Args:
        logits: (B, N).
        batch: Histories (masked out) and targets.
    """
    seen = torch.zeros_like(logits, dtype=torch.bool)
    seen[batch.owner, batch.items] = True
    log_probability = torch.log_softmax(logits.masked_fill(seen, float("-inf")), dim=-1)
    return _mean_over_users(-log_probability[batch.target_owner, batch.target_items], batch)


def sampled(model: TwoTower, batch: Batch, sampler: NegativeSampler, samples: int) -> Tensor:
    """Return the scalar loss over S shared negatives and each positive itself.

    Negatives that are in the user's history or among the user's targets do not count.
    """
    negatives = sampler.draw(samples).to(batch.items.device)
    candidates, place = torch.unique(
        torch.cat([batch.target_items, negatives]), return_inverse=True
    )
    vectors, bias = model.item(candidates)
    logits = model.logits(model.user(batch), vectors, bias).float()  # (B, C)
    own = torch.zeros_like(logits, dtype=torch.bool)
    own[batch.target_owner, place[: len(batch.target_items)]] = True
    at = torch.searchsorted(candidates, batch.items).clamp(max=len(candidates) - 1)
    present = candidates[at] == batch.items
    own[batch.owner[present], at[present]] = True

    corrected = logits - sampler.correction(candidates, samples)
    pool = corrected.masked_fill(own, float("-inf"))[:, place[len(batch.target_items) :]]
    rest = torch.logsumexp(pool, dim=-1)  # (B,) estimate over all items but the user's own
    positive = logits[batch.target_owner, place[: len(batch.target_items)]]
    return _mean_over_users(torch.logaddexp(positive, rest[batch.target_owner]) - positive, batch)


def _mean_over_users(losses: Tensor, batch: Batch) -> Tensor:
    """Average (T,) losses over each user's targets, then over the users that have any."""
    count = torch.bincount(batch.target_owner, minlength=batch.size)
    share = 1.0 / count[batch.target_owner].to(losses.dtype)
    return (losses * share).sum() / (count > 0).sum().clamp(min=1)
