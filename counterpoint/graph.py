"""The recommender as one torch module: its forward is the contract of the ONNX graph.

Evaluation, batch recommendation and serving all run this code, so what is evaluated is served.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from counterpoint.cold import ColdExtension
from counterpoint.factors import FactorScorer
from counterpoint.fusion import TOP, FusionWeights, normaliser, sample, weighted_sum
from counterpoint.fusion import shares as fusion_shares
from counterpoint.graph_ops import best_items, newest
from counterpoint.linear import LinearScorer
from counterpoint.prior import PriorScorer
from counterpoint.projections import Projections
from counterpoint.tower_scorer import TowerScorer

REASONS = 3
POSITIVE_KIND = 1
OTHER_KIND = 2
REPEATABLE = 2
"""Added to the kind of an event whose item may be recommended again."""


class Parts(NamedTuple):
    """The scores of one user batch, what is regressed on item features, and what explains them.

    Attributes:
        fused: (B, N0).
        evidence: What the scores of cold items are predicted from, see cold.py: the fused scores
            and those of the first linear part, each (B, N0) with its (B, F) product with the
            ridge map.
        weights: (B, S) of the scorers in the fused scores: linear parts, factors, tower, prior.
        linear_weights: (B, L) weight of each event in each linear part.
        pool_weights: (P, B, L) weight of each event in each pool of the tower.
        items: (B, L) catalogue indices.
        counted: (B, L) the positives that count.
    """

    fused: Tensor
    evidence: list[tuple[Tensor, Tensor]]
    weights: Tensor
    linear_weights: list[Tensor]
    pool_weights: Tensor
    items: Tensor
    counted: Tensor


class RecommenderModule(nn.Module):
    """History, profile and exclusions in; ids, scores and reasons out.

    Args:
        tower: Finished towers over N0 items.
        linear: Linear part over N0 items.
        prior: Prior over N0 items.
        cold: Extension from N0 to N items.
        weights: Of the fusion.
        max_k: Longest list returned.
    """

    def __init__(
        self,
        tower: TowerScorer,
        linears: Sequence[LinearScorer],
        factors: FactorScorer | None,
        prior: PriorScorer,
        cold: ColdExtension,
        weights: FusionWeights,
        *,
        max_k: int = 100,
    ) -> None:
        super().__init__()
        self.tower = tower
        self.linears = nn.ModuleList(linears)
        self.factors = factors
        self.prior = prior
        self.cold = cold
        self.weights = weights
        self.max_k = max_k
        self.projections = Projections(
            cold.ridge_map, tower.vectors, tower.bias, self.linear_parts, factors, prior
        )

    @property
    def n_items(self) -> int:
        """N."""
        return self.cold.n_items

    @property
    def linear_parts(self) -> list[LinearScorer]:
        """The linear scorers."""
        return [part for part in self.linears if isinstance(part, LinearScorer)]

    def parts(self, history: Tensor, age: Tensor, kind: Tensor, profile: Tensor) -> Parts:
        """Return the fused (B, N0) scores and their ingredients."""
        n_scored = self.cold.n_scored
        # Items added after training are excluded and shown, but the scorers never met them.
        known = (history > 0) & (history <= n_scored)
        items = torch.where(known, history - 1, 0)
        positive = known & ((kind == POSITIVE_KIND) | (kind == POSITIVE_KIND + REPEATABLE))
        other = known & ((kind == OTHER_KIND) | (kind == OTHER_KIND + REPEATABLE))
        counted = newest(history, positive)
        counts = counted.to(age.dtype)
        raw, told, linear_weights = [], [], []
        for place, linear in enumerate(self.linear_parts):
            weight = linear.event_weight(age) * counts
            scores, product = linear.beside(self.projections.linear(place), items, weight)
            raw.append(scores)
            told.append(product)
            linear_weights.append(weight)
        shares = list(self.weights.linears)
        if self.factors is not None:
            factors = self.factors.users(items, counts)
            raw.append(self.factors.score(factors))
            told.append(self.projections.of_factors(factors))
            shares.append(self.weights.factors)
        users, pool_weights = self.tower.user.padded(items, age, positive, other)
        raw.append(self.tower.score(users))
        told.append(self.projections.of_tower(users))
        shares.append(self.weights.tower)
        raw.append(self.prior(profile))
        told.append(self.projections.of_prior(self.prior.share(profile)))

        # Sums of standardised scores, without ever standardising N0 scores.
        positives = positive.to(age.dtype).sum(-1, keepdim=True)
        barrier = self.cold.barrier + torch.zeros_like(positives)
        barrier = barrier.scatter(1, torch.where(known, history, 0), -torch.inf)[:, 1:]
        how, best = self.weights.normalisation, min(TOP, n_scored)
        mean, factor = normaliser(
            torch.stack([sample(scores + barrier, how, best) for scores in raw], dim=1)
        )
        weights = fusion_shares(shares, positives, self.weights.prior) * factor.squeeze(2)
        constant = -(weights * mean.squeeze(2)).sum(1, keepdim=True)
        fused = weighted_sum(raw, weights) + constant
        product = weighted_sum(told, weights) + constant * self.projections.sums
        evidence = [(fused, product)]
        if linear_weights:
            evidence.append((raw[0], told[0]))
        return Parts(fused, evidence, weights, linear_weights, pool_weights, items, counted)

    def taste(self, parts: Parts) -> Tensor:
        """Return (B, F + 2), see ``ColdExtension.taste``."""
        theta, mean, spread = self.projections.regressed(parts.evidence, self.cold.warm)
        return self.cold.taste(parts.fused, theta, mean, spread)

    def scores(self, history: Tensor, age: Tensor, kind: Tensor, profile: Tensor) -> Tensor:
        """Return (B, N) scores of all items, nothing excluded."""
        parts = self.parts(history, age, kind, profile)
        if self.cold.all_warm:
            return parts.fused
        return self.cold.extend(parts.fused, self.taste(parts))[:, 1:]

    def forward(
        self,
        history: Tensor,
        history_age: Tensor,
        history_kind: Tensor,
        profile: Tensor,
        exclude: Tensor,
        allow: Tensor,
        k: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Recommend.

        Args:
            history: (B, L) int64 one-based items, oldest first, 0 = padding on the right.
            history_age: (B, L) float32 number of the user's positives later than the event.
            history_kind: (B, L) int64: 0 padding, 1 positive, 2 not positive; 3 and 4 likewise, and
                the item may be recommended again.
            profile: (B, P) float32 multi-hot of the profile vocabulary.
            exclude: (B, X) int64 one-based items, 0 = padding; so is the history of kinds 1 and 2.
            allow: (B, A) int64 one-based items, 0 = padding; where a row has any, no other item is
                recommended, and of these none that is excluded.
            k: (B, 1) int64; the greatest of the batch is used, up to ``max_k``.

        Returns:
            item: (B, K) int64 one-based, best first; 0 where fewer than K items are left.
            score: (B, K) float32; 0 where item is 0.
            reason: (B, K, 3) int64 one-based positions in ``history`` of the positives that
            contributed most, most first; 0 = none.
            taste: (B, F + 2) float32, see ``ColdExtension.taste``: scores items added later.
        """
        parts = self.parts(history, history_age, history_kind, profile)
        taste = self.taste(parts)
        scores = self.cold.extend(parts.fused, taste)
        wanted = k.max().clamp(max=min(self.max_k, self.n_items))
        once = torch.where(history_kind > REPEATABLE, 0, history)
        score, item = best_items(scores, torch.cat([once, exclude], dim=1), allow, wanted)
        valid = item > 0
        reason = self.reasons(parts, (item - 1).clamp(min=0), valid)
        return item, torch.where(valid, score, 0.0), reason, taste

    def reasons(self, parts: Parts, winner: Tensor, valid: Tensor) -> Tensor:
        """Return (B, K, 3) one-based positions of the greatest positive contributions."""
        scored = winner < self.cold.n_scored
        inside = torch.where(scored, winner, 0)
        tower = self.tower.contributions(parts.items, parts.pool_weights, inside)
        share = parts.weights[:, -2:-1].unsqueeze(2) * tower
        for place, linear in enumerate(self.linear_parts):
            weight = parts.weights[:, place : place + 1] * parts.linear_weights[place]
            share = share + linear.contributions(parts.items, weight, inside)
        shown = parts.counted.unsqueeze(1) & (valid & scored & self.cold.warm[inside]).unsqueeze(2)
        share = torch.where(shown, share, -torch.inf)  # (B, K, L)
        # A history may have fewer events than there are places for reasons.
        share = functional.pad(share, (0, REASONS), value=-torch.inf)
        best = torch.topk(share, REASONS, dim=-1)
        return torch.where(best.values > 0, best.indices + 1, 0)
