"""The fusion over a head that is always scored and the candidates of each user.

The same scorers and the same fusion as graph.py, over (B, S) columns instead of (B, N). Means and
spreads over the whole catalogue come from joint_moments.py and are exact. Only the normalisation
``top`` looks at scores: at the best 200 of the columns.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from counterpoint.fusion import TOP, normaliser, sample, weighted_sum
from counterpoint.fusion import shares as fusion_shares
from counterpoint.graph import RecommenderModule, read_events
from counterpoint.graph_ops import newest
from counterpoint.joint_moments import blocks, head_items, joint_moments, rows
from counterpoint.linear import LinearScorer

ROUNDING = 1e-5
"""Share of a sum of squares below which a difference of two of them says nothing in float32."""


class Users(NamedTuple):
    """What the scorers made of the histories, before any item is scored.

    Attributes:
        items: (B, L) catalogue indices; any at padding.
        first: (B, L) 1 for each warm item once, else 0.
        counted: (B, L) bool.
        positives: (B, 1).
        tower: (B, d + 1) user vector and a 1 for the bias.
        pool_weights: (P, B, L).
        linear_weights: Of each linear part (B, L).
        linear_scores: Of each linear part (B, M + 1).
        factors: (B, f); of width 0 without a factorisation.
        prior: (B, 1 + P) a 1 for the base, and the shares of the shifts.
    """

    items: Tensor
    first: Tensor
    counted: Tensor
    positives: Tensor
    tower: Tensor
    pool_weights: Tensor
    linear_weights: list[Tensor]
    linear_scores: list[Tensor]
    factors: Tensor
    prior: Tensor

    def vectors(self) -> list[tuple[str, Tensor]]:
        """Return what is multiplied with the items' rows, in the order of ``Parts.weights``."""
        found = [("tower", self.tower), ("prior", self.prior)]
        return [("factors", self.factors), *found] if self.factors.shape[1] else found


class Fused(NamedTuple):
    """The fused scores of the columns and what they are made of.

    Attributes:
        scores: (B, S) of head and candidates.
        query: (B, D): the score is ``query . x_i`` + the linear parts + a constant.
        constant: (B, 1).
        linear: (B, H) what the linear parts add to the scores of the head.
        weights: Of the scorers, as in ``Parts``.
    """

    scores: Tensor
    query: Tensor
    constant: Tensor
    linear: Tensor
    weights: Tensor


class CandidateScores(nn.Module):
    """Scores head and candidates.

    Args:
        base: The trained module.
        popular: How many of the most popular items belong to the head.
    """

    head: Tensor
    shift: Tensor
    mean: Tensor
    covariance: Tensor
    map: Tensor
    map_total: Tensor
    head_map: Tensor
    head_rows: Tensor

    def __init__(self, base: RecommenderModule, *, popular: int) -> None:
        super().__init__()
        self.base = base
        self.blocks = blocks(base)
        found = joint_moments(base)
        self.count = float(found.size)
        head = torch.from_numpy(head_items(base, at_least=popular))
        self.register_buffer("head", head)
        for name in ("mean", "covariance", "map", "map_total"):
            self.register_buffer(name, getattr(found, name))
        self.register_buffer("head_map", base.cold.ridge_map[head].contiguous())
        # Item-major, for rows are gathered. The head's rows are multiplied by every user.
        self.register_buffer("shift", base.prior.shift.T.contiguous())
        self.register_buffer("head_rows", rows(base, head).T.contiguous())
        for place, part in enumerate(self._linears):
            self.register_buffer(f"head_position_{place}", part.position[head])

    @property
    def _linears(self) -> list[LinearScorer]:
        return self.base.linear_parts

    def users(self, history: Tensor, age: Tensor, kind: Tensor, profile: Tensor) -> Users:
        """Read the histories; arguments as of ``RecommenderModule.parts``."""
        base = self.base
        known, items, positive, other, counted = read_events(history, kind, base.cold.n_scored)
        first = newest(history, known) & base.cold.warm[items]
        weights = [part.event_weight(age) * counted.to(age.dtype) for part in self._linears]
        scores = [
            part.covered(items, weight) for part, weight in zip(self._linears, weights, strict=True)
        ]
        vectors, pool_weights = base.tower.user.padded(items, age, positive, other)
        one = torch.ones_like(vectors[:, :1])
        factors = vectors[:, :0]
        if base.factors is not None:
            factors = base.factors.users(items, counted.to(age.dtype))
        return Users(
            items,
            first.to(age.dtype),
            counted,
            positive.to(age.dtype).sum(-1, keepdim=True),
            torch.cat([vectors, one], dim=1),
            pool_weights,
            weights,
            scores,
            factors,
            torch.cat([one, base.prior.share(profile)], dim=1),
        )

    def fuse(self, users: Users, candidates: Tensor | None, eligible: Tensor) -> Fused:
        """Fuse the scorers.

        Args:
            users: Of ``users``.
            candidates: (B, C) catalogue indices outside the head; None: the head alone.
            eligible: (B, S) bool, the columns whose scores count in the normalisation ``top``.
        """
        how = self.base.weights
        raw, located, shares = [], [], [*how.linears]
        on_head = [self.linear_head(users, place) for place in range(len(shares))]
        for scores in on_head:
            if candidates is None:
                raw.append(scores)
            else:
                elsewhere = torch.zeros_like(candidates, dtype=scores.dtype)
                raw.append(torch.cat([scores, elsewhere], dim=1))
            located.append(
                self._best(raw[-1], eligible)
                if self._top
                else self._linear_location(users, scores, eligible)
            )
        for name, vector in users.vectors():
            scores = torch.matmul(vector, self.head_rows[getattr(self.blocks, name)])
            if candidates is not None:
                scores = torch.cat([scores, self._at(name, vector, candidates)], dim=1)
            raw.append(scores)
            located.append(
                self._best(scores, eligible) if self._top else self._location(users, name, vector)
            )
            if name != "prior":
                shares.append(getattr(how, name))
        mean, factor = (torch.cat(list(parts), dim=1) for parts in zip(*located, strict=True))
        weights = fusion_shares(shares, users.positives, how.prior) * factor
        constant = -(weights * mean).sum(1, keepdim=True)
        linear = torch.zeros_like(raw[-1][:, : len(self.head)])
        for place, scores in enumerate(on_head):
            linear = linear + weights[:, place : place + 1] * scores
        n_linear = len(on_head)
        query = {
            name: weights[:, n_linear + place : n_linear + place + 1] * vector
            for place, (name, vector) in enumerate(users.vectors())
        }
        joined = torch.cat([query[name] for name in self.blocks.order if name in query], dim=1)
        return Fused(weighted_sum(raw, weights) + constant, joined, constant, linear, weights)

    def linear_head(self, users: Users, place: int) -> Tensor:
        """Return the (B, H) scores that a linear part gives to the head."""
        position = getattr(self, f"head_position_{place}")
        return users.linear_scores[place].index_select(1, position)

    def linear_moments(self, on_head: Tensor) -> tuple[Tensor, Tensor]:
        """Return the (B, 1) mean and variance over the warm items; the scores are 0 elsewhere."""
        mean = on_head.sum(-1, keepdim=True) / self.count
        square = (on_head * on_head).sum(-1, keepdim=True) / self.count
        return mean, (square - mean * mean).clamp(min=0.0)

    def variance(self, vector: Tensor, covariance: Tensor) -> Tensor:
        """Return (B, 1) ``q' Cov q``."""
        return (torch.matmul(vector, covariance) * vector).sum(-1, keepdim=True).clamp(min=0.0)

    def _at(self, name: str, vector: Tensor, items: Tensor) -> Tensor:
        """Return (B, M) scores of (B, M) catalogue indices by one scorer."""
        base = self.base
        if name == "tower":
            found = torch.matmul(base.tower.vectors[items], vector[:, :-1].unsqueeze(2))
            return found.squeeze(2) + base.tower.bias[items]
        if name == "factors" and base.factors is not None:
            return torch.matmul(base.factors.factors[items], vector.unsqueeze(2)).squeeze(2)
        found = torch.matmul(self.shift[items], vector[:, 1:].unsqueeze(2)).squeeze(2)
        return found + base.prior.base[items]

    @property
    def _top(self) -> bool:
        return self.base.weights.normalisation == "top"

    def _best(self, scores: Tensor, eligible: Tensor) -> tuple[Tensor, Tensor]:
        """Return the (B, 1) mean and inverse spread of the best (B, S) columns."""
        # Padding, for the graph must not fix whether there are as many as TOP columns.
        barred = torch.where(eligible, scores, -torch.inf)
        barred = torch.nn.functional.pad(barred, (0, TOP), value=-torch.inf)
        return normaliser(sample(barred, "top", TOP))

    def _linear_location(
        self, users: Users, on_head: Tensor, eligible: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the (B, 1) mean and inverse spread of a linear part over the unseen warm items.

        Args:
            users: Of ``users``.
            on_head: (B, H) scores; all others are 0.
            eligible: (B, S).
        """
        inside = eligible[:, : len(self.head)].to(on_head.dtype)
        left = (self.count - users.first.sum(-1, keepdim=True)).clamp(min=1.0)
        mean = (on_head * inside).sum(-1, keepdim=True) / left
        away = (on_head - mean) * inside
        elsewhere = left - inside.sum(-1, keepdim=True)
        square = (away * away).sum(-1, keepdim=True) + elsewhere * mean * mean
        return mean, _inverse((square / left).sqrt())

    def _location(self, users: Users, name: str, vector: Tensor) -> tuple[Tensor, Tensor]:
        """Return the (B, 1) mean and inverse spread of one scorer over the unseen warm items."""
        part = getattr(self.blocks, name)
        mean = torch.matmul(vector, self.mean[part].unsqueeze(1))
        whole = self.count * self.variance(vector, self.covariance[part, part])
        away = (self._at(name, vector, users.items) - mean) * users.first
        left = (self.count - users.first.sum(-1, keepdim=True)).clamp(min=1.0)
        shift = away.sum(-1, keepdim=True) / left
        square = whole - (away * away).sum(-1, keepdim=True) - left * shift * shift
        # What is left of nearly equal numbers is rounding.
        square = torch.where(square > ROUNDING * whole, square, 0.0)
        return mean - shift, _inverse((square / left).sqrt())


def _inverse(spread: Tensor) -> Tensor:
    """Return 1 / spread, or 0 where the scores are all equal."""
    return (spread > 1e-6).to(spread.dtype) / spread.clamp(min=1e-6)
