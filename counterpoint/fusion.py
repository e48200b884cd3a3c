"""Late fusion: each scorer's scores are made comparable per user, then added with weights."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Normalisation = Literal["all", "top"]

TOP = 200
"""Scores whose mean and spread normalise a user's row in the mode ``top``."""


@dataclass(frozen=True)
class FusionWeights:
    """What the sum of scorers looks like.

    Attributes:
        normalisation: ``all``: z-scores over the user's unseen items; ``top``: over the scorer's
            own best ``TOP`` of them, which suits large catalogues.
        linears: Weight of each linear part.
        factors: Weight of the matrix factorisation.
        tower: Weight of the tower.
        prior: Weight of the prior for a history of one positive; it falls as ``2 / (1 + n)``.
    """

    normalisation: Normalisation
    linears: tuple[float, ...]
    factors: float
    tower: float
    prior: float


def standardise(
    scores: Tensor, eligible: Tensor, how: Normalisation, best: int = TOP
) -> tuple[Tensor, Tensor]:
    """Return scores with mean 0 and spread 1 per row over the eligible items (or the best of them).

    Args:
        scores: (B, N).
        eligible: (B, N) bool: warm and unseen.
        how: See ``FusionWeights``.
        best: Scores that ``top`` looks at, at most N.

    Returns:
        (B, N) scores, and the (B, 1) factor that differences of scores were multiplied with; a row
        whose scores are all equal becomes 0.
    """
    mean, factor = normaliser(sample(scores.masked_fill(~eligible, -torch.inf), how, best))
    return (scores - mean) * factor, factor


def sample(barred: Tensor, how: Normalisation, best: int = TOP) -> Tensor:
    """Return the (B, S) scores that normalise a row.

    Args:
        barred: (B, N) scores, -inf where an item is not eligible.
        how: See ``FusionWeights``.
        best: Scores that ``top`` looks at, at most N.
    """
    return torch.topk(barred, best, dim=-1, sorted=False).values if how == "top" else barred


def normaliser(barred: Tensor) -> tuple[Tensor, Tensor]:
    """Return the (..., 1) mean and factor of ``standardise`` for (..., S) scores or -inf."""
    inside = (barred > -torch.inf).to(barred.dtype)
    count = inside.sum(-1, keepdim=True).clamp(min=1.0)
    finite = barred.clamp(min=torch.finfo(barred.dtype).min) * inside
    mean = finite.sum(-1, keepdim=True) / count
    deviation = (finite - mean) * inside
    spread = ((deviation * deviation).sum(-1, keepdim=True) / count).sqrt()
    return mean, (spread > 1e-6).to(spread.dtype) / spread.clamp(min=1e-6)


def shares(weights: Sequence[float], positives: Tensor, prior_weight: float) -> Tensor:
    """Return the (B, S + 1) weights of the scorers that read the history and, last, of the prior.

    Args:
        weights: Of the S scorers.
        positives: (B, 1) number n of positives in the history; with none the prior stands alone.
        prior_weight: For a history of one positive.
    """
    known = (positives > 0).to(positives.dtype)
    fade = prior_weight * 2.0 / (1.0 + positives)
    own = positives.new_tensor([weights])
    return torch.cat([known * own, known * fade + (1.0 - known)], dim=1)


def fuse(
    evidence: Sequence[tuple[float, Tensor]],
    prior: Tensor,
    positives: Tensor,
    prior_weight: float,
) -> Tensor:
    """Return the (B, N) weighted sum of standardised scores.

    Args:
        evidence: (weight, (B, N) scores) of each scorer that reads the history.
        prior: (B, N).
        positives: (B, 1), see ``shares``.
        prior_weight: For a history of one positive.
    """
    weights = shares([weight for weight, _ in evidence], positives, prior_weight)
    return weighted_sum([*(scores for _, scores in evidence), prior], weights)


def weighted_sum(scores: Sequence[Tensor], weights: Tensor) -> Tensor:
    """Return the (B, N) sum of (B, N) scores with (B, S) weights."""
    total = weights[:, :1] * scores[0]
    for place, each in enumerate(scores[1:], start=1):
        total = total + weights[:, place : place + 1] * each
    return total
