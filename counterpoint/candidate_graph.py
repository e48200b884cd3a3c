"""The graphs of a large catalogue: what to look up for a user, and the answer over what was found.

``QueryModule`` turns histories into queries of the indexes (retrieval_index.py); between the two
graphs counterpoint/retrieval.py looks them up; ``CandidateModule`` scores head, candidates and
cold items with the fusion of graph.py. With every item a candidate it answers as graph.py does.
"""

import torch
from torch import Tensor, nn

from counterpoint.candidate_scores import CandidateScores, Fused, Users
from counterpoint.graph import Parts, RecommenderModule
from counterpoint.graph_ops import length
from counterpoint.retrieval import COUNTED, NOT_SCORED, OPEN


class CandidateModule(nn.Module):
    """Histories and candidates in; ids, scores, reasons and tastes out.

    Args:
        base: The trained module.
        popular: How many of the most popular items belong to the head.
        exact_cold: Score every cold item; else only those named in ``cold``.
    """

    cold_items: Tensor
    cold_features: Tensor
    cold_known: Tensor
    cold_tie: Tensor

    def __init__(self, base: RecommenderModule, *, popular: int, exact_cold: bool) -> None:
        super().__init__()
        self.base = base
        self.scorer = CandidateScores(base, popular=popular)
        self.exact_cold = exact_cold
        cold = torch.ones(base.n_items, dtype=torch.bool)
        cold[: base.cold.n_scored] = ~base.cold.warm
        items = torch.nonzero(cold).squeeze(1)
        self.register_buffer("cold_items", items)
        self.register_buffer("cold_features", base.cold.features[items])
        self.register_buffer("cold_known", (base.cold.features[items] != 0).any(1))
        tie = torch.zeros(base.n_items + 1)
        tie[base.cold.places.squeeze(0)] = base.cold.ties
        self.register_buffer("cold_tie", tie[items + 1])

    def forward(
        self,
        history: Tensor,
        history_age: Tensor,
        history_kind: Tensor,
        profile: Tensor,
        candidates: Tensor,
        cold: Tensor,
        standing: Tensor,
        k: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Recommend.

        Args:
            history: (B, L), as of ``RecommenderModule.forward``.
            history_age: (B, L).
            history_kind: (B, L).
            profile: (B, P).
            candidates: (B, C) int64 one-based warm items outside the head, each once; 0 = padding.
            cold: (B, Z) int64 places in ``cold_items``, any at padding; not read if every cold
                item is scored.
            standing: (B, S) int64 of the columns [head | candidates | cold], see ``OPEN``.
            k: (B, 1) int64.

        Returns:
            As ``RecommenderModule.forward``.
        """
        scorer = self.scorer
        users = scorer.users(history, history_age, history_kind, profile)
        inside = (candidates - 1).clamp(min=0)
        n_warm = len(scorer.head) + candidates.shape[1]
        warm = standing[:, :n_warm]
        fused = scorer.fuse(users, inside, (warm == COUNTED) | (warm == OPEN))
        taste = self.taste(users, fused, warm > NOT_SCORED)
        # Added to, not expanded: the graph must not fix the number of rows.
        row = torch.zeros_like(inside[:, :1])
        scores, items = [fused.scores], [scorer.head + row, inside]
        if len(self.cold_items):
            where = None if self.exact_cold else cold
            scores.append(self._cold(taste, where))
            items.append(self.cold_items + row if where is None else self.cold_items[where])
        ranked = torch.where(standing >= OPEN, torch.cat(scores, dim=1), -torch.inf)
        wanted = k.max().clamp(max=min(self.base.max_k, self.base.n_items))
        best = torch.topk(ranked, length(wanted), dim=-1)
        valid = best.values > -torch.inf
        winner = torch.cat(items, dim=1).gather(1, best.indices)
        parts = Parts(
            fused.scores,
            [],
            fused.weights,
            users.linear_weights,
            users.pool_weights,
            users.items,
            users.counted,
        )
        return (
            torch.where(valid, winner + 1, 0),
            torch.where(valid, best.values, 0.0),
            self.base.reasons(parts, winner, valid),
            taste,
        )

    def taste(self, users: Users, fused: Fused, scored: Tensor) -> Tensor:
        """Return (B, F + 2), see ``ColdExtension.taste``; the lowest score is of the columns."""
        constant, spread, theta = cold_terms(self.scorer, users, fused)
        lowest = torch.where(scored, fused.scores, torch.inf).amin(-1, keepdim=True)
        lowest = torch.where(torch.isfinite(lowest), lowest, 0.0) - 1.0
        boosted = constant + spread * self.base.cold.boost
        return torch.cat([spread * theta, boosted, lowest], dim=-1)

    def _cold(self, taste: Tensor, where: Tensor | None) -> Tensor:
        """Return the scores of all cold items, or of those named for each user."""
        width = self.cold_features.shape[1]
        phi = taste[:, :width]
        if where is None:
            found, known, tie = (
                torch.matmul(phi, self.cold_features.T),
                self.cold_known,
                self.cold_tie,
            )
        else:
            found = torch.matmul(self.cold_features[where], phi.unsqueeze(2)).squeeze(2)
            known, tie = self.cold_known[where], self.cold_tie[where]
        found = found + taste[:, width : width + 1]
        return torch.where(known, found, taste[:, width + 1 :]) - tie


class QueryModule(nn.Module):
    """Histories in; queries of the indexes out.

    In the normalisation ``top`` the best scores of the tower and of the factorisation count, so
    each has a query of its own; what their weights in the last query, the fusion, are is estimated
    from the head.

    Args:
        scorer: The scorer of the candidate graph.
        scales: Of the blocks of the index: tower, factors, prior.
    """

    def __init__(self, scorer: CandidateScores, scales: tuple[float, float, float]) -> None:
        super().__init__()
        self.scorer = scorer
        self.scales = scales

    def forward(
        self, history: Tensor, history_age: Tensor, history_kind: Tensor, profile: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return (B, Q, D') queries of the index of the warm and (B, F) of that of the cold items.

        Arguments as of ``CandidateModule.forward``.
        """
        scorer = self.scorer
        users = scorer.users(history, history_age, history_kind, profile)
        head = (scorer.head + 1).reshape(1, -1, 1)
        eligible = ~((history.unsqueeze(1) == head).any(-1))
        fused = scorer.fuse(users, None, eligible)
        part = scorer.blocks
        pieces = [
            (users.tower, fused.query[:, part.tower], self.scales[0]),
            (users.factors, fused.query[:, part.factors], self.scales[1]),
            (users.prior[:, :1], fused.query[:, part.prior][:, :1], self.scales[2]),
        ]
        queries = [torch.cat([blend / scale for _, blend, scale in pieces], dim=1)]
        if scorer.base.weights.normalisation == "top":
            wanted = pieces[:1] if scorer.base.factors is None else pieces[:2]
            for chosen in range(len(wanted)):
                queries.append(
                    torch.cat(
                        [
                            own / scale if place == chosen else torch.zeros_like(own)
                            for place, (own, _, scale) in enumerate(pieces)
                        ],
                        dim=1,
                    )
                )
        return torch.stack(queries, dim=1), cold_terms(scorer, users, fused)[2]


def cold_terms(
    scorer: CandidateScores, users: Users, fused: Fused
) -> tuple[Tensor, Tensor, Tensor]:
    """Return mean and spread of the fused scores over the warm items, and theta of cold.py.

    As ``ColdExtension.taste`` computes them from the scores of all items.
    """
    count, linear = scorer.count, fused.linear
    mean = torch.matmul(fused.query, scorer.mean.unsqueeze(1))
    variance = scorer.variance(fused.query, scorer.covariance)
    around = torch.matmul(fused.query, scorer.head_rows) - mean
    total = linear.sum(-1, keepdim=True) / count
    spread = _spread(variance, around, linear, total, count)
    constant = mean + total + fused.constant
    if not scorer.head_map.shape[1]:
        return constant, spread, mean[:, :0]
    floor = spread.clamp(min=1e-6)
    query, added = fused.query / floor, linear / floor
    if users.linear_scores:
        first = scorer.linear_head(users, 0)
        added = added + first / scorer.linear_moments(first)[1].sqrt().clamp(min=1e-6)
    share = added.sum(-1, keepdim=True) / count
    width = _spread(variance / (floor * floor), around / floor, added, share, count)
    theta = (
        torch.matmul(query, scorer.map)
        + torch.matmul(added, scorer.head_map)
        - share * scorer.map_total
    )
    return constant, spread, theta / width.clamp(min=1e-6)


def _spread(variance: Tensor, around: Tensor, added: Tensor, mean: Tensor, count: float) -> Tensor:
    """Return the (B, 1) spread over all warm items of a dense part plus one on the head alone.

    Args:
        variance: (B, 1) of the dense part.
        around: (B, H) the dense part less its mean, on the head.
        added: (B, H).
        mean: (B, 1) of the part on the head, over all warm items.
        count: Number of warm items.
    """
    square = ((2.0 * around + added) * added).sum(-1, keepdim=True) / count
    return (variance + square - mean * mean).clamp(min=0.0).sqrt()
