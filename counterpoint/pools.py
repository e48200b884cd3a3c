"""NDCG@10 on validation for many fusions at once, from each scorer's best items alone.

The scores of all items are computed once per scorer. Of each user only the items are kept that are
among some scorer's best ``DEPTH``: no fusion puts another item into its top ten. So a candidate
fusion costs a small matrix product, whatever the size of the catalogue.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from torch import Tensor

from counterpoint.factors import FactorScorer
from counterpoint.fusion import TOP, Normalisation, fuse, standardise
from counterpoint.graph import OTHER_KIND, POSITIVE_KIND
from counterpoint.graph_ops import newest
from counterpoint.histories import Histories
from counterpoint.linear import LinearScorer
from counterpoint.model_inputs import pad
from counterpoint.prior import PriorScorer
from counterpoint.progress import track
from counterpoint.tower_scorer import TowerScorer

K = 10
DEPTH = 100
CHUNK_SCORES = 1_000_000
CHUNK_EVENTS = 50_000
"""Bounds of users times items, and of users times history places, held at once."""

AnyScorer = LinearScorer | FactorScorer | TowerScorer | PriorScorer


@dataclass(frozen=True)
class Chunk:
    """Some validation users.

    Attributes:
        history: (B, L) one-based items, as the graph reads them.
        kind: (B, L).
        items: (B, L) catalogue indices, any at padding.
        age: (B, L).
        positive: (B, L) bool.
        other: (B, L) bool.
        counted: (B, L) 1 for positives that count in sums.
        profile: (B, P).
        unseen: (B, N) bool.
        eligible: (B, N) bool: warm and unseen.
        targets: (B, N) bool.
    """

    history: Tensor
    kind: Tensor
    items: Tensor
    age: Tensor
    positive: Tensor
    other: Tensor
    counted: Tensor
    profile: Tensor
    unseen: Tensor
    eligible: Tensor
    targets: Tensor

    def scores(self, scorer: AnyScorer) -> Tensor:
        """Return (B, N) scores of any scorer of the model."""
        if isinstance(scorer, LinearScorer):
            return scorer(self.items, scorer.event_weight(self.age) * self.counted)
        if isinstance(scorer, FactorScorer):
            return scorer(self.items, self.counted)
        if isinstance(scorer, TowerScorer):
            return scorer(self.items, self.age, self.positive, self.other)[0]
        return scorer(self.profile)

    @property
    def positives(self) -> Tensor:
        """(B, 1) positives of each history."""
        return self.positive.float().sum(-1, keepdim=True)


@dataclass(frozen=True)
class Validation:
    """Who is judged on what.

    Attributes:
        histories: (U,) users.
        targets: (U, N) boolean.
        warm: (N,) items with interactions in the fit.
        profile: Profile vocabulary.
        history_length: Newest events that are read.
    """

    histories: Histories
    targets: sp.csr_matrix
    warm: npt.NDArray[np.bool_]
    profile: Sequence[str]
    history_length: int

    def sample(self, users: int, seed: int) -> "Validation":
        """Return at most so many users, drawn at random."""
        if len(self.histories) <= users:
            return self
        rng = np.random.default_rng(seed)
        kept = np.sort(rng.choice(len(self.histories), users, replace=False))
        histories, targets = self.histories.take(kept), self.targets[kept]
        return Validation(histories, targets, self.warm, self.profile, self.history_length)

    def chunks(self, what: str) -> Iterator[Chunk]:
        """Yield all users in bounded chunks."""
        warm = torch.from_numpy(self.warm)
        longest = int(np.diff(self.histories.indptr).max(initial=1))
        length = max(1, min(longest, self.history_length))
        size = max(1, min(CHUNK_SCORES // len(warm), CHUNK_EVENTS // length))
        users = np.arange(len(self.histories))
        parts = [users[start : start + size] for start in range(0, len(users), size)]
        for part in track(parts, what):
            histories = self.histories.take(part)
            inputs = pad(histories, self.profile, self.history_length)
            history, kind = torch.from_numpy(inputs.history), torch.from_numpy(inputs.history_kind)
            positive = kind == POSITIVE_KIND
            unseen = torch.ones(len(part), len(warm), dtype=torch.bool)
            unseen[histories.owners, histories.items] = False
            yield Chunk(
                history,
                kind,
                (history - 1).clamp(min=0),
                torch.from_numpy(inputs.history_age),
                positive,
                kind == OTHER_KIND,
                newest(history, positive).float(),
                torch.from_numpy(inputs.profile),
                unseen,
                unseen & warm,
                torch.from_numpy(self.targets[part].toarray()),
            )


def alone(
    validation: Validation, scorers: Mapping[str, AnyScorer], what: str
) -> dict[str, npt.NDArray[np.float64]]:
    """Return NDCG@10 per user of each scorer by itself."""
    parts: dict[str, list[npt.NDArray[np.float64]]] = {name: [] for name in scorers}
    with torch.inference_mode():
        for chunk in validation.chunks(what):
            for name, scorer in scorers.items():
                parts[name].append(ndcg(chunk.scores(scorer), chunk.eligible, chunk.targets))
    return {name: np.concatenate(found) for name, found in parts.items()}


@dataclass(frozen=True)
class _Pool:
    scores: dict[Normalisation, Tensor]  # each (B, W, C)
    eligible: Tensor  # (B, W)
    targets: Tensor  # (B, W)
    wanted: Tensor  # (B,) number of targets
    positives: Tensor  # (B, 1)


class Pools:
    """Standardised scores of every scorer on each user's pool of items.

    Args:
        validation: The users.
        scorers: name -> scorer; all are pooled.
        normalisations: The modes that will be asked for.
    """

    def __init__(
        self,
        validation: Validation,
        scorers: Mapping[str, AnyScorer],
        normalisations: Sequence[Normalisation],
    ) -> None:
        self.place = {name: column for column, name in enumerate(scorers)}
        with torch.inference_mode():
            self.pools = [
                _pool(chunk, list(scorers.values()), normalisations)
                for chunk in validation.chunks("Score validation users")
            ]

    def ndcg(
        self,
        normalisation: Normalisation,
        weights: Mapping[str, float],
        prior: str,
        prior_weight: float,
    ) -> npt.NDArray[np.float64]:
        """Return NDCG@10 per user of one fusion.

        Args:
            normalisation: One of those given.
            weights: Scorer name -> weight; others have none.
            prior: Name of the prior.
            prior_weight: See ``fuse``.
        """
        found = []
        with torch.inference_mode():
            for pool in self.pools:
                columns = pool.scores[normalisation]
                fused = fuse(
                    [(share, columns[:, :, self.place[name]]) for name, share in weights.items()],
                    columns[:, :, self.place[prior]],
                    pool.positives,
                    prior_weight,
                )
                found.append(ndcg(fused, pool.eligible, pool.targets, wanted=pool.wanted))
        return np.concatenate(found)


def _pool(
    chunk: Chunk, scorers: Sequence[AnyScorer], normalisations: Sequence[Normalisation]
) -> _Pool:
    """Keep the union of the scorers' best items of each user."""
    every = [chunk.scores(scorer) for scorer in scorers]
    users, n_items = chunk.eligible.shape
    best = torch.zeros(users, n_items, dtype=torch.bool)
    for scores in every:
        top = torch.topk(scores.masked_fill(~chunk.eligible, -torch.inf), min(DEPTH, n_items))
        best.scatter_(1, top.indices, torch.ones_like(top.indices, dtype=torch.bool))
    best &= chunk.eligible
    width = max(int(best.sum(-1).max()), 1)
    inside, index = torch.topk(best.to(torch.int8), width, dim=-1)
    kept: dict[Normalisation, Tensor] = {}
    for how in normalisations:
        standard = (standardise(s, chunk.eligible, how, min(TOP, n_items))[0] for s in every)
        kept[how] = torch.stack([scores.gather(1, index) for scores in standard], dim=2)
    return _Pool(
        kept,
        inside > 0,
        chunk.targets.gather(1, index),
        chunk.targets.sum(-1),
        chunk.positives,
    )


def ndcg(
    scores: Tensor, eligible: Tensor, targets: Tensor, *, wanted: Tensor | None = None, k: int = K
) -> npt.NDArray[np.float64]:
    """Return (B,) NDCG@k with binary relevance, the ideal truncated at min(k, number of targets).

    Args:
        scores: (B, N).
        eligible: (B, N) bool, what may be recommended.
        targets: (B, N) bool.
        wanted: (B,) number of targets, where not all of them are among the columns; a user without
            any has NDCG 0.
        k: Length of the list.
    """
    wanted = targets.sum(-1) if wanted is None else wanted
    top = torch.topk(scores.masked_fill(~eligible, -torch.inf), min(k, scores.shape[1]), dim=-1)
    hits = targets.gather(1, top.indices) & (top.values > -torch.inf)
    discount = 1.0 / torch.log2(torch.arange(2, k + 2, dtype=torch.float64))
    ideal = discount.cumsum(0)[wanted.clamp(min=1, max=k) - 1]
    return ((hits.double() * discount[: hits.shape[1]]).sum(-1) / ideal).numpy()
