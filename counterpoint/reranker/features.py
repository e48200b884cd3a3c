"""Plain numbers of a pair: what a logistic regression sees, beside which reading must prove itself.

One torch module computes them for the baselines, the teacher, the student and the served graph.
"""

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from counterpoint.graph import OTHER_KIND, POSITIVE_KIND, REPEATABLE
from counterpoint.reranker.statistics import NAMES as STATISTICS

NAMES: Final = (
    *STATISTICS,
    "retrieval",
    "leniency",
    "activity",
    "liked_share",
    "text_liked",
    "text_nearest",
    "text_other",
    "attributes_liked",
    "attributes_other",
)
"""The K features, in order."""

LOG_SCALE = 5.0
"""Logarithms of history lengths are divided by this."""


class PairFeatures(nn.Module):
    """Computes the features of history and candidates.

    Args:
        features: (N, F) item features (item_features.py): T numbers of the text, then attributes.
        text_width: T.
    """

    text: Tensor
    attributes: Tensor

    def __init__(self, features: Tensor, text_width: int) -> None:
        super().__init__()
        padded = functional.pad(features.float(), (0, 0, 1, 0))
        # Not part of what is saved: the recommender has them.
        self.register_buffer("text", padded[:, :text_width].contiguous(), persistent=False)
        attributes = functional.normalize(padded[:, text_width:], dim=1)
        self.register_buffer("attributes", attributes.contiguous(), persistent=False)

    @property
    def text_width(self) -> int:
        """T."""
        return self.text.shape[1]

    def forward(
        self, history: Tensor, kind: Tensor, candidate: Tensor, told: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return features and what the student attends to.

        Args:
            history: (B, L) int64 one-based items, oldest first, 0 = padding.
            kind: (B, L) int64, as of the recommender: 1 and 3 liked, 2 and 4 not, 0 padding.
            candidate: (B, C) int64 one-based items, 0 = padding.
            told: (B, C, 5) the first five features: of the candidates, and the user's leniency.

        Returns:
            (B, C, K) features, (B, L, T) texts of the history, (B, C, T) of the candidates.
        """
        liked, other = split_kinds(history, kind)
        past, new = self.text[history], self.text[candidate]
        cosine = torch.matmul(new, past.transpose(1, 2))  # (B, C, L)
        owned = torch.matmul(self.attributes[candidate], self.attributes[history].transpose(1, 2))
        some = liked.any(1, keepdim=True)
        nearest = torch.where(liked.unsqueeze(1), cosine, -1.0).amax(-1)
        nearest = torch.where(some, nearest, 0.0)
        events = (liked | other).float().sum(1, keepdim=True)
        share = (liked.float().sum(1, keepdim=True) + 1.0) / (events + 2.0)
        activity = torch.log1p(events) / LOG_SCALE
        one = torch.ones_like(nearest)
        own = torch.stack(
            [
                activity * one,
                share * one,
                _mean(cosine, liked),
                nearest,
                _mean(cosine, other),
                _mean(owned, liked),
                _mean(owned, other),
            ],
            dim=-1,
        )
        return torch.cat([told, own], dim=-1), past, new


def split_kinds(history: Tensor, kind: Tensor) -> tuple[Tensor, Tensor]:
    """Return (B, L) bool: liked, and met but not liked."""
    there = history > 0
    liked = (kind == POSITIVE_KIND) | (kind == POSITIVE_KIND + REPEATABLE)
    other = (kind == OTHER_KIND) | (kind == OTHER_KIND + REPEATABLE)
    return there & liked, there & other


def _mean(values: Tensor, mask: Tensor) -> Tensor:
    """Return (B, C) means of (B, C, L) over the (B, L) mask; 0 over nothing."""
    weight = mask.float().unsqueeze(1)
    return (values * weight).sum(-1) / weight.sum(-1).clamp(min=1.0)
