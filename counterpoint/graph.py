"""The recommender as one torch module: its forward is the contract of the ONNX graph.

Evaluation, batch recommendation and serving all run this code, so what is evaluated is served.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from counterpoint.cold import ColdExtension, moments
from counterpoint.factors import FactorScorer
from counterpoint.fusion import TOP, FusionWeights, fuse, standardise
from counterpoint.linear import LinearScorer
from counterpoint.prior import PriorScorer
from counterpoint.towers import UserTower

REASONS = 3
POSITIVE_KIND = 1
OTHER_KIND = 2
REPEATABLE = 2
"""Added to the kind of an event whose item may be recommended again."""


class TowerScorer(nn.Module):
    """Finished towers: the user tower with precomputed item vectors.

    Args:
        user: The user tower.
        vectors: (N0, d) unit item vectors divided by the temperature.
        bias: (N0,).
    """

    vectors: Tensor
    bias: Tensor

    def __init__(self, user: UserTower, vectors: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.user = user
        self.register_buffer("vectors", vectors)
        self.register_buffer("bias", bias)

    def forward(
        self, items: Tensor, age: Tensor, positive: Tensor, other: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return (B, N0) scores and the (P, B, L) pool weights of the history."""
        users, weights = self.user.padded(items, age, positive, other)
        return torch.matmul(users, self.vectors.T) + self.bias, weights

    def contributions(self, items: Tensor, weights: Tensor, winners: Tensor) -> Tensor:
        """Return (B, L, K): linearised share of each history event in the winners' scores.

        The residual MLP and the norm of the user vector are left out: they are common to all
        events, so the order of the events by their linear share is what is shown.

        Args:
            items: (B, L).
            weights: (P, B, L) pool weights.
            winners: (B, K).
        """
        dim = self.vectors.shape[1]
        events = self.user.history(items)  # (B, L, d)
        targets = self.vectors[winners]  # (B, K, d)
        total = torch.zeros_like(torch.matmul(events, targets.transpose(1, 2)))
        for pool in range(self.user.n_pools):
            mix = self.user.mix.weight[:, pool * dim : (pool + 1) * dim]
            pulled = torch.matmul(targets, mix)  # (B, K, d)
            share = torch.matmul(events, pulled.transpose(1, 2))
            total = total + weights[pool].unsqueeze(2) * share
        return total


class Parts(NamedTuple):
    """The scorers of one user batch, standardised, and what explains them."""

    fused: Tensor
    evidence: Tensor
    linear_factors: list[Tensor]
    tower_factor: Tensor
    pool_weights: Tensor
    linear_weights: list[Tensor]
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
        counted = positive & ~repeated_later(history, positive)

        seen = _marked(torch.where(known, history, 0), n_scored)
        eligible = self.cold.warm & ~seen

        how, best = self.weights.normalisation, min(TOP, n_scored)
        evidence, linear_factors, linear_weights, raw = [], [], [], []
        for share, linear in zip(self.weights.linears, self.linear_parts, strict=True):
            weight = linear.event_weight(age) * counted.to(age.dtype)
            raw.append(linear(items, weight))
            standard, factor = standardise(raw[-1], eligible, how, best)
            evidence.append((share, standard))
            linear_factors.append(factor)
            linear_weights.append(weight)
        if self.factors is not None:
            factored = self.factors(items, counted.to(age.dtype))
            standard, _ = standardise(factored, eligible, how, best)
            evidence.append((self.weights.factors, standard))
        scores, pool_weights = self.tower(items, age, positive, other)
        tower, tower_factor = standardise(scores, eligible, how, best)
        evidence.append((self.weights.tower, tower))
        prior, _ = standardise(self.prior(profile), eligible, how, best)
        positives = positive.to(age.dtype).sum(-1, keepdim=True)
        fused = fuse(evidence, prior, positives, self.weights.prior)
        return Parts(
            fused,
            self._evidence(fused, raw),
            linear_factors,
            tower_factor,
            pool_weights,
            linear_weights,
            items,
            counted,
        )

    def _evidence(self, fused: Tensor, linears: Sequence[Tensor]) -> Tensor:
        """(B, N0) what the scores of cold items are predicted from, see cold.py."""
        total = torch.zeros_like(fused)
        for scores in (fused, *linears[:1]):
            mean, spread = moments(scores, self.cold.warm)
            total = total + (scores - mean) / spread.clamp(min=1e-6)
        return total

    def scores(self, history: Tensor, age: Tensor, kind: Tensor, profile: Tensor) -> Tensor:
        """Return (B, N) scores of all items, nothing excluded."""
        parts = self.parts(history, age, kind, profile)
        return self.cold(parts.fused, parts.evidence)

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
        # Three columns of padding: shorter histories still have three places to point at.
        history, kind = (_pad(x, REASONS) for x in (history, history_kind))
        age = _pad(history_age, REASONS)
        parts = self.parts(history, age, kind, profile)
        taste = self.cold.taste(parts.fused, parts.evidence)
        scores = parts.fused if self.cold.all_warm else self.cold.extend(parts.fused, taste)
        wanted = k.max().clamp(max=min(self.max_k, self.n_items))
        once = torch.where(kind > REPEATABLE, 0, history)
        score, item = _best(scores, torch.cat([once, exclude], dim=1), allow, wanted)
        valid = item > 0
        reason = self.reasons(parts, (item - 1).clamp(min=0), valid)
        return item, torch.where(valid, score, 0.0), reason, taste

    def reasons(self, parts: Parts, winner: Tensor, valid: Tensor) -> Tensor:
        """Return (B, K, 3) one-based positions of the greatest positive contributions."""
        scored = winner < self.cold.n_scored
        inside = torch.where(scored, winner, 0)
        tower = self.tower.contributions(parts.items, parts.pool_weights, inside)
        share = (self.weights.tower * parts.tower_factor).unsqueeze(2) * tower
        for place, linear in enumerate(self.linear_parts):
            own = linear.contributions(parts.items, parts.linear_weights[place], inside)
            factor = self.weights.linears[place] * parts.linear_factors[place]
            share = share + factor.unsqueeze(2) * own
        shown = parts.counted.unsqueeze(2) & (valid & scored & self.cold.warm[inside]).unsqueeze(1)
        share = torch.where(shown, share, -torch.inf).transpose(1, 2)  # (B, K, L)
        best = torch.topk(share, REASONS, dim=-1)
        return torch.where(best.values > 0, best.indices + 1, 0)


def _marked(items: Tensor, n_items: int) -> Tensor:
    """(B, N) bool: which items occur in the (B, M) one-based list; 0 is padding."""
    # In float32, for the scatter of booleans has no ONNX form.
    marks = torch.zeros_like(items[:, :1]).to(torch.float32).expand(-1, n_items + 1)
    return marks.scatter(1, items, 1.0)[:, 1:] > 0.0


def _best(scores: Tensor, banned: Tensor, allow: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
    """Return (B, K) scores and one-based items, best first; item 0 where none is left.

    Args:
        scores: (B, N).
        banned: (B, X) one-based items, 0 = padding.
        allow: (B, A) one-based items, 0 = padding; a row without any allows all.
        k: 0-dim int64, at most N.
    """
    # A column for the padding, so that marks at 0 touch no item. Allowed scores are put back into
    # rows that were emptied: no (B, N) mask of them is ever made.
    none = torch.full_like(scores[:, :1], -torch.inf)
    scores = torch.cat([none, scores], dim=1)
    allowed = scores.gather(1, allow)
    restricted = (allow > 0).any(1, keepdim=True)
    scores = scores + torch.where(restricted, -torch.inf, 0.0)
    scores = scores.scatter(1, allow, allowed).scatter(1, banned, -torch.inf)
    # Traced with a tensor, the graph looks for as many items as the request asks for.
    best = torch.topk(scores, k if torch.jit.is_tracing() else int(k), dim=-1)
    return best.values, torch.where(best.values > -torch.inf, best.indices, 0)


def _pad(values: Tensor, columns: int) -> Tensor:
    return torch.cat([values, values.new_zeros(values.shape[0], columns)], dim=1)


def repeated_later(history: Tensor, positive: Tensor) -> Tensor:
    """(B, L) bool: a later positive event has the same item, so this one does not count."""
    same = (history.unsqueeze(2) == history.unsqueeze(1)) & positive.unsqueeze(1)
    places = torch.cumsum(torch.ones_like(history), dim=1)
    later = places.unsqueeze(1) > places.unsqueeze(2)  # (B, L, L): column after row
    return (same & later).any(-1)
