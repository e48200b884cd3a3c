"""Late fusion: each scorer's scores are made comparable per user, then added with weights."""

from collections.abc import Iterable
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
    mean, factor = location(scores, eligible, how, best)
    return (scores - mean) * factor, factor


def location(
    scores: Tensor, eligible: Tensor, how: Normalisation, best: int = TOP
) -> tuple[Tensor, Tensor]:
    """Return the (B, 1) mean and the (B, 1) inverse spread; arguments as of ``standardise``."""
    if how == "top":
        sample = torch.topk(scores.masked_fill(~eligible, -torch.inf), best, dim=-1).values
        inside = sample > -torch.inf
        sample = torch.where(inside, sample, 0.0)
    else:
        inside = eligible
        sample = torch.where(inside, scores, 0.0)
    count = inside.sum(-1, keepdim=True).clamp(min=1).to(scores.dtype)
    mean = sample.sum(-1, keepdim=True) / count
    deviation = torch.where(inside, sample - mean, 0.0)
    return mean, inverse(((deviation * deviation).sum(-1, keepdim=True) / count).sqrt())


def inverse(spread: Tensor) -> Tensor:
    """Return 1 / spread, or 0 where the scores are all equal."""
    return torch.where(spread > 1e-6, 1.0 / spread.clamp(min=1e-6), 0.0)


def fuse(
    evidence: Iterable[tuple[float, Tensor]], prior: Tensor, positives: Tensor, prior_weight: float
) -> Tensor:
    """Return the (B, N) weighted sum of standardised scores.

    Args:
        evidence: (weight, (B, N) scores) of each scorer that reads the history.
        prior: (B, N).
        positives: (B, 1) number n of positives in the history; with none the prior stands alone.
        prior_weight: For a history of one positive.
    """
    known = (positives > 0).to(prior.dtype)
    fade = prior_weight * 2.0 / (1.0 + positives)
    total = fade * prior
    for weight, scores in evidence:
        total = total + weight * scores
    return known * total + (1.0 - known) * prior
