"""Kernel-ridge extension of the scorers to items nobody has interacted with.

A user's standardised scores z_u of the warm items are regressed on item features (text vector,
vectors of the modalities and attributes); the regression is read off at the features of the cold
items. In its primal form this is one (N, F) map per model, so serving a new item needs nothing but
its features:

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
    modalities: Sequence[tuple[float, npt.NDArray[np.float32]]] = (),
) -> npt.NDArray[np.float32]:
    """Return (N, F) features, see item_features.py, with the weight of the configuration."""
    return kernel.item_features(
        text,
        attributes,
        vocabulary,
        attribute_weight=config.attribute_weight,
        modalities=modalities,
    )


def ridge_map(
    features: npt.NDArray[np.float32], popularity: npt.NDArray[np.float32], config: ColdConfig
) -> npt.NDArray[np.float32]:
    """Return W as (N, F) with zero rows for the cold items, and for warm ones beyond the bound.

    Args:
        features: (N, F).
        popularity: (N,) positive interactions; an item without any is cold.
        config: The ridge, and the number of most popular items that are regressed on.
    """
    order = np.argsort(-popularity, kind="stable")[: config.max_items]
    warm = np.zeros(len(features), dtype=bool)
    warm[order] = popularity[order] > 0
    known = features[warm].astype(np.float64)
    system = known.T @ known + config.ridge * np.eye(features.shape[1])
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
    places: Tensor
    ties: Tensor
    barrier: Tensor

    def __init__(self, warm: Tensor, ridge_map: Tensor, features: Tensor, *, boost: float) -> None:
        super().__init__()
        self.boost = boost
        self.n_scored, self.n_items = n_scored, n_items = len(warm), len(features)
        self.width = features.shape[1]
        cold = torch.ones(n_items, dtype=torch.bool)
        cold[:n_scored] = ~warm
        described = cold & (features != 0).any(1)
        self.all_warm = not bool(cold.any())
        self.scored_warm, self.any_warm = bool(warm.all()), bool(warm.any())
        # Described items first, as `extend` writes them.
        places = torch.cat([torch.nonzero(described), torch.nonzero(cold & ~described)]).squeeze(1)
        tie = torch.zeros(n_items)
        rank = torch.arange(int(cold.sum()))
        tie[cold] = TIE * rank / (rank + 1000.0)
        self.register_buffer("warm", warm)
        self.register_buffer("ridge_map", ridge_map)
        self.register_buffer("features", features)
        self.register_buffer("cold_features", features[described].T.clone(), persistent=False)
        self.register_buffer("places", 1 + places.unsqueeze(0), persistent=False)
        self.register_buffer("ties", tie[places], persistent=False)
        barred = torch.cat([torch.tensor([False]), ~warm]).unsqueeze(0)
        self.register_buffer("barrier", torch.where(barred, -torch.inf, 0.0), persistent=False)

    def forward(self, scores: Tensor, evidence: Tensor) -> Tensor:
        """Return (B, N) scores from (B, N0) scores whose cold columns mean nothing.

        Args:
            scores: (B, N0) fused.
            evidence: (B, N0) what is regressed on the features, on any scale.
        """
        if self.all_warm:
            return scores
        centre, width = moments(evidence, self.warm)
        standard = (evidence - centre) / width.clamp(min=1e-6)
        theta = torch.matmul(standard, self.ridge_map)
        mean, spread = moments(scores, self.warm)
        return self.extend(scores, self.taste(scores, theta, mean, spread))[:, 1:]

    def taste(self, scores: Tensor, theta: Tensor, mean: Tensor, spread: Tensor) -> Tensor:
        """Return (B, F + 2): how a user's score depends on the features of a cold item.

        An item of features phi scores ``taste[:, :F] @ phi + taste[:, F]``. One of which nothing is
        known (phi = 0) scores ``taste[:, F + 1]``, which is below every warm item.

        Args:
            scores: (B, N0) fused.
            theta: (B, F) standardised evidence, regressed on the features.
            mean: (B, 1) of the scores of the warm items.
            spread: (B, 1) of the scores of the warm items.
        """
        # Cold columns, barred with -inf, become +inf here.
        lowest = scores if self.scored_warm else scores - self.barrier[:, 1:]
        lowest = lowest.amin(-1, keepdim=True) if self.any_warm else torch.zeros_like(mean)
        return torch.cat([spread * theta, mean + spread * self.boost, lowest - 1.0], dim=-1)

    def extend(self, scores: Tensor, taste: Tensor) -> Tensor:
        """Return (B, 1 + N) scores by one-based item; nothing has the score of column 0.

        Args:
            scores: (B, N0) fused.
            taste: (B, F + 2).
        """
        none = torch.full_like(scores[:, :1], -torch.inf)
        if self.all_warm:
            return torch.cat([none, scores], dim=1)
        later = none.expand(-1, self.n_items - self.n_scored)
        scores = torch.cat([none, scores, later], dim=1)
        constant, lowest = taste[:, self.width : self.width + 1], taste[:, self.width + 1 :]
        described = self.cold_features.shape[1]
        found = []
        if described:
            found.append(torch.matmul(taste[:, : self.width], self.cold_features) + constant)
        if described < len(self.ties):
            found.append(lowest.expand(-1, len(self.ties) - described))
        places = self.places + torch.zeros_like(constant, dtype=torch.int64)
        return scores.scatter(1, places, torch.cat(found, dim=1) - self.ties)


def moments(scores: Tensor, warm: Tensor) -> tuple[Tensor, Tensor]:
    """Return the (B, 1) mean and spread of (B, N0) scores over the warm items."""
    share = warm_share(warm)
    mean = torch.matmul(scores, share)
    deviation = scores - mean
    return mean, torch.matmul(deviation * deviation, share).sqrt()


def warm_share(warm: Tensor) -> Tensor:
    """Return the (N0, 1) weights of a mean over the warm items."""
    inside = warm.to(torch.float32).unsqueeze(1)
    return inside / inside.sum().clamp(min=1.0)
