"""Softmax over the catalogue or over a sample of it, shared by several objectives."""

from dataclasses import dataclass

import torch
from torch import Tensor

from counterpoint.batches import Batch
from counterpoint.precision import at_least_single
from counterpoint.sampling.negatives import NegativeMixture
from counterpoint.towers import TwoTower

EMPTY = float("-inf")


@dataclass(frozen=True)
class Scored:
    """Logits of a batch over candidate items.

    Attributes:
        logits: (B, C), at least single precision.
        candidates: (C,) sorted items of the columns; None: column i is item i.
    """

    logits: Tensor
    candidates: Tensor | None = None

    def columns(self, items: Tensor) -> tuple[Tensor, Tensor]:
        """Return the column of each (M,) item, and whether it has one."""
        if self.candidates is None:
            return items, torch.ones_like(items, dtype=torch.bool)
        place = torch.searchsorted(self.candidates, items).clamp(max=len(self.candidates) - 1)
        return place, self.candidates[place] == items

    def marked(self, *pairs: tuple[Tensor, Tensor]) -> Tensor:
        """Return (B, C) bool of (M,) rows and (M,) items; items without a column are left out."""
        marks = torch.zeros_like(self.logits, dtype=torch.bool)
        for owner, items in pairs:
            place, present = self.columns(items)
            marks[owner[present], place[present]] = True
        return marks

    def of(self, owner: Tensor, items: Tensor) -> Tensor:
        """Return (M,) logits of rows and items that have a column."""
        return self.logits[owner, self.columns(items)[0]]


def score_all(model: TwoTower, batch: Batch) -> Scored:
    """Score the whole catalogue."""
    vectors, bias = model.item()
    return Scored(at_least_single(model.logits(model.user(batch), vectors, bias)))


def score_some(model: TwoTower, batch: Batch, *items: Tensor) -> Scored:
    """Score the targets of the batch and the given items, each item once."""
    candidates = torch.unique(torch.cat([batch.target_items, *(part.flatten() for part in items)]))
    vectors, bias = model.item(candidates)
    return Scored(at_least_single(model.logits(model.user(batch), vectors, bias)), candidates)


def rest_of_all(scored: Scored, own: Tensor) -> Tensor:
    """Return (B,) log of the sum of exponentials over the items that are not the user's own."""
    return torch.logsumexp(scored.logits.masked_fill(own, EMPTY), dim=-1)


def rest_by_sampling(
    scored: Scored,
    own: Tensor,
    negatives: Tensor,
    mixture: NegativeMixture,
    batch: Batch,
    *,
    logq: bool,
) -> Tensor:
    """Return a (B,) estimate of ``rest_of_all`` from M shared negatives.

    Args:
        scored: With a column for each negative.
        own: (B, C) bool, what is no negative of a user.
        negatives: (M,) of ``mixture.draw``.
        mixture: Knows how often each is expected.
        batch: The batch they were drawn for.
        logq: Whether that is corrected for; else each counts once, which is biased.
    """
    place, _ = scored.columns(negatives)
    logits = scored.logits[:, place]
    if logq:
        logits = logits - mixture.correction(negatives, batch)
    return torch.logsumexp(logits.masked_fill(own[:, place], EMPTY), dim=-1)


def against(positive: Tensor, rest: Tensor, batch: Batch) -> Tensor:
    """Return (T,) ``-log(e^p / (e^p + e^rest))`` of each target against its user's rest."""
    return torch.logaddexp(positive, rest[batch.target_owner]) - positive


def mean_over_users(losses: Tensor, batch: Batch, weights: Tensor | None = None) -> Tensor:
    """Average (T,) losses over each user's targets, then over the users that have any.

    Args:
        losses: (T,).
        batch: Owners of the targets.
        weights: (T,) positive weights of the targets within a user; equal by default.
    """
    mass = torch.ones_like(losses) if weights is None else weights.to(losses.dtype)
    total = mass.new_zeros(batch.size).index_add(0, batch.target_owner, mass)
    share = mass / total[batch.target_owner]
    return (losses * share).sum() / (total > 0).sum().clamp(min=1)
