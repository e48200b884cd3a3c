"""Kernel-ridge extension of the scorers to items nobody has interacted with.

A user's standardised scores z_u of the warm items are regressed on item features (text vector and
attributes); the regression is read off at the features of the cold items. In its primal form this
is one (N, F) map per model, so serving a new item needs nothing but its features:

    W = Phi_warm (Phi_warm' Phi_warm + ridge I)^-1          theta_u = z_u W
    score(u, cold) = mean(s_u) + spread(s_u) (theta_u . phi_cold + boost)

That is one affine function of phi per user, the user's taste: what a caller needs to score an item
the graph has never heard of.

z_u is what the fused score and the first linear part say together, each standardised over all warm
items: the fused score looks at the best items only, the linear part orders the others as well.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from counterpoint import item_features as kernel
from counterpoint.config.train import ColdConfig

TIE = 0.01
"""Cold items of equal features are told apart by up to this much: catalogue order settles it, so
that every runtime returns the same list."""


def attribute_vocabulary(attributes: Sequence[Sequence[str]], *, max_tokens: int) -> list[str]:
    """Return the item attribute tokens that at least two items share, most frequent first."""
    count = Counter(token for tokens in attributes for token in set(tokens))
    shared = [token for token, items in count.items() if items > 1]
    return sorted(shared, key=lambda token: (-count[token], token))[:max_tokens]


def item_features(
    text: npt.NDArray[np.float32],
    attributes: Sequence[Sequence[str]],
    vocabulary: Sequence[str],
    config: ColdConfig,
) -> npt.NDArray[np.float32]:
    """Return (N, F) features, see item_features.py, with the weight of the configuration."""
    return kernel.item_features(
        text, attributes, vocabulary, attribute_weight=config.attribute_weight
    )


def ridge_map(
    features: npt.NDArray[np.float32], warm: npt.NDArray[np.bool_], ridge: float
) -> npt.NDArray[np.float32]:
    """Return W as (N, F) with zero rows for the cold items.

    Args:
        features: (N, F).
        warm: (N,) items with positive interactions.
        ridge: Strength of the ridge.
    """
    known = features[warm].astype(np.float64)
    system = known.T @ known + ridge * np.eye(features.shape[1])
    out = np.zeros(features.shape, dtype=np.float32)
    if features.shape[1] and warm.any():
        out[warm] = np.linalg.solve(system, known.T).T
    return out


class ColdExtension(nn.Module):
    """Replaces the scores of cold items and appends those of items added after training.

    Args:
        warm: (N0,) bool, the items the scorers know from interactions.
        ridge_map: (N0, F).
        features: (N, F) of all items; those from N0 on were added after training.
        boost: Added to cold scores, in spreads of the user's warm scores.
    """

    warm: Tensor
    ridge_map: Tensor
    features: Tensor
    cold_features: Tensor
    column: Tensor
    tie: Tensor

    def __init__(self, warm: Tensor, ridge_map: Tensor, features: Tensor, *, boost: float) -> None:
        super().__init__()
        self.boost = boost
        self.n_scored, self.n_items = n_scored, n_items = len(warm), len(features)
        self.width = features.shape[1]
        cold = torch.ones(n_items, dtype=torch.bool)
        cold[:n_scored] = ~warm
        described = cold & (features != 0).any(1)
        # Where each item's score is found in [scorers | predicted | lowest].
        column = torch.arange(n_items)
        column[described] = n_scored + torch.arange(int(described.sum()))
        column[cold & ~described] = n_scored + int(described.sum())
        tie = torch.zeros(n_items)
        rank = torch.arange(int(cold.sum()))
        tie[cold] = TIE * rank / (rank + 1000.0)
        self.all_warm = not bool(cold.any())
        self.register_buffer("warm", warm)
        self.register_buffer("ridge_map", ridge_map)
        self.register_buffer("features", features)
        self.register_buffer("cold_features", features[described], persistent=False)
        self.register_buffer("column", column, persistent=False)
        self.register_buffer("tie", tie, persistent=False)

    def forward(self, scores: Tensor, evidence: Tensor) -> Tensor:
        """Return (B, N) scores from (B, N0) scores whose cold columns mean nothing.

        Args:
            scores: (B, N0) fused.
            evidence: (B, N0) what is regressed on the features, on any scale.
        """
        return scores if self.all_warm else self.extend(scores, self.taste(scores, evidence))

    def taste(self, scores: Tensor, evidence: Tensor) -> Tensor:
        """Return (B, F + 2): how a user's score depends on the features of a cold item.

        An item of features phi scores ``taste[:, :F] @ phi + taste[:, F]``. One of which nothing is
        known (phi = 0) scores ``taste[:, F + 1]``, which is below every warm item.

        Args:
            scores: (B, N0) fused.
            evidence: (B, N0) what is regressed on the features, on any scale.
        """
        mean, spread = moments(scores, self.warm)
        lowest = torch.where(self.warm, scores, torch.inf).amin(-1, keepdim=True)
        lowest = torch.where(torch.isfinite(lowest), lowest, 0.0) - 1.0
        constant = mean + spread * self.boost
        if not self.width:
            return torch.cat([constant, lowest], dim=-1)
        centre, width = moments(evidence, self.warm)
        standard = (evidence - centre) / width.clamp(min=1e-6) * self.warm.to(scores.dtype)
        theta = torch.matmul(standard, self.ridge_map)
        return torch.cat([spread * theta, constant, lowest], dim=-1)

    def extend(self, scores: Tensor, taste: Tensor) -> Tensor:
        """Return (B, N): the scores of the warm items and what the taste says of the others."""
        constant, lowest = taste[:, self.width : self.width + 1], taste[:, self.width + 1 :]
        predicted = torch.matmul(taste[:, : self.width], self.cold_features.T) + constant
        found = torch.cat([scores, predicted, lowest], dim=-1).index_select(1, self.column)
        return found - self.tie


def moments(scores: Tensor, warm: Tensor) -> tuple[Tensor, Tensor]:
    """Return the (B, 1) mean and spread of (B, N0) scores over the warm items."""
    inside = warm.to(scores.dtype)
    count = inside.sum().clamp(min=1.0)
    mean = (scores * inside).sum(-1, keepdim=True) / count
    deviation = (scores - mean) * inside
    return mean, ((deviation * deviation).sum(-1, keepdim=True) / count).sqrt()
