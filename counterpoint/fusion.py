"""Late fusion: each scorer's scores are made comparable per user, then added with weights."""

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
        linear: Weight of the linear part.
        tower: Weight of the tower.
        prior: Weight of the prior for a history of one positive; it falls as ``2 / (1 + n)``.
    """

    normalisation: Normalisation
    linear: float
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
    spread = ((deviation * deviation).sum(-1, keepdim=True) / count).sqrt()
    factor = torch.where(spread > 1e-6, 1.0 / spread.clamp(min=1e-6), 0.0)
    return (scores - mean) * factor, factor


def fuse(
    linear: Tensor, tower: Tensor, prior: Tensor, positives: Tensor, weights: FusionWeights
) -> Tensor:
    """Return the (B, N) weighted sum of standardised scores.

    Args:
        linear: (B, N) standardised.
        tower: (B, N) standardised.
        prior: (B, N) standardised.
        positives: (B, 1) number n of positives in the history; with none the prior stands alone.
        weights: The weights.
    """
    known = (positives > 0).to(linear.dtype)
    fade = weights.prior * 2.0 / (1.0 + positives)
    evidence = weights.linear * linear + weights.tower * tower
    return known * (evidence + fade * prior) + (1.0 - known) * prior
