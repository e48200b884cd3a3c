"""NDCG@10 on the validation fold of one way of fusing the scorers, for many ways at once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from torch import Tensor

from counterpoint.config.train import TrainConfig
from counterpoint.fusion import TOP, FusionWeights, Normalisation, fuse, standardise
from counterpoint.graph import OTHER_KIND, POSITIVE_KIND, TowerScorer, repeated_later
from counterpoint.histories import Histories
from counterpoint.linear import LinearScorer, event_weight
from counterpoint.model_inputs import Inputs, pad
from counterpoint.prior import PriorScorer
from counterpoint.progress import track

K = 10
CHUNK_SCORES = 1_000_000
CHUNK_EVENTS = 50_000
"""Bounds of users times items, and of users times history places, held at once."""


@dataclass(frozen=True)
class Choices:
    """The settings of a final fit.

    Attributes:
        text_weight: Weight of the text kernel in the linear part.
        recency: Strength of the recency weight of the linear part.
        normalisation: How scores are made comparable.
        tower: Weight of the tower beside the linear part.
        prior: Weight of the prior.
        half_life_days: Of the popularity.
    """

    text_weight: float
    recency: float
    normalisation: Normalisation
    tower: float
    prior: float
    half_life_days: float | None

    def fusion(self) -> FusionWeights:
        """The weights of the sum."""
        return FusionWeights(self.normalisation, 1.0, self.tower, self.prior)


class Judge:
    """Scores of the validation users, standardised once, fused in many ways."""

    def __init__(
        self,
        histories: Histories,
        targets: sp.csr_matrix,
        warm: npt.NDArray[np.bool_],
        tower: TowerScorer,
        linears: dict[float, LinearScorer],
        priors: dict[float | None, PriorScorer],
        profile: Sequence[str],
        config: TrainConfig,
    ) -> None:
        self.histories = histories
        self.targets = targets
        self.warm = torch.from_numpy(warm)
        self.tower = tower
        self.linears = linears
        self.priors = priors
        self.profile = profile
        self.config = config

    def _chunks(self) -> list[npt.NDArray[np.int64]]:
        longest = int(np.diff(self.histories.indptr).max(initial=1))
        length = max(1, min(longest, self.config.fit.history_length))
        size = max(1, min(CHUNK_SCORES // len(self.warm), CHUNK_EVENTS // length))
        users = np.arange(len(self.histories))
        return [users[start : start + size] for start in range(0, len(users), size)]

    def _context(self, users: npt.NDArray[np.int64]) -> tuple[Inputs, Tensor, Tensor]:
        """Inputs, unseen (B, N) and targets (B, N) of some users."""
        chunk = self.histories.take(users)
        inputs = pad(chunk, self.profile, self.config.fit.history_length)
        unseen = torch.ones(len(users), len(self.warm), dtype=torch.bool)
        unseen[chunk.owners, chunk.items] = False
        return inputs, unseen, torch.from_numpy(self.targets[users].toarray())

    def prior_alone(self) -> dict[float | None, npt.NDArray[np.float64]]:
        """NDCG@10 per user of the start page: what a user without history would get."""
        parts: dict[float | None, list[npt.NDArray[np.float64]]] = {h: [] for h in self.priors}
        with torch.inference_mode():
            for users in self._chunks():
                inputs, unseen, targets = self._context(users)
                for half_life, prior in self.priors.items():
                    scores = prior(torch.from_numpy(inputs.profile))
                    parts[half_life].append(ndcg(scores, unseen & self.warm, targets))
        return {half_life: np.concatenate(p) for half_life, p in parts.items()}

    def fused(self, grid: Sequence[Choices], what: str) -> dict[Choices, npt.NDArray[np.float64]]:
        """NDCG@10 per user of each candidate."""
        parts: dict[Choices, list[npt.NDArray[np.float64]]] = {choice: [] for choice in grid}
        with torch.inference_mode():
            for users in track(self._chunks(), what):
                inputs, unseen, targets = self._context(users)
                eligible = unseen & self.warm
                for choice, scores in self._combine(inputs, eligible, grid):
                    parts[choice].append(ndcg(scores, eligible, targets))
        return {choice: np.concatenate(p) for choice, p in parts.items()}

    def _combine(
        self, inputs: Inputs, eligible: Tensor, grid: Sequence[Choices]
    ) -> Iterator[tuple[Choices, Tensor]]:
        """Yield each candidate with its (B, N) scores; nothing shared is computed twice."""
        history, kind = torch.from_numpy(inputs.history), torch.from_numpy(inputs.history_kind)
        age, items = torch.from_numpy(inputs.history_age), (history - 1).clamp(min=0)
        positive, other = kind == POSITIVE_KIND, kind == OTHER_KIND
        positives = positive.float().sum(-1, keepdim=True)
        counted = (positive & ~repeated_later(history, positive)).float()
        profile = torch.from_numpy(inputs.profile)
        tower, _ = self.tower(items, age, positive, other)
        best = min(TOP, len(self.warm))
        for how in dict.fromkeys(choice.normalisation for choice in grid):
            tower_z, _ = standardise(tower, eligible, how, best)
            same = [choice for choice in grid if choice.normalisation == how]
            priors = {
                half_life: standardise(self.priors[half_life](profile), eligible, how, best)[0]
                for half_life in dict.fromkeys(choice.half_life_days for choice in same)
            }
            for text_weight, recency in dict.fromkeys((c.text_weight, c.recency) for c in same):
                linear = self.linears[text_weight]
                weight = event_weight(age, recency, linear.decay) * counted
                linear_z, _ = standardise(linear(items, weight), eligible, how, best)
                for choice in same:
                    if (choice.text_weight, choice.recency) == (text_weight, recency):
                        prior_z = priors[choice.half_life_days]
                        yield choice, fuse(linear_z, tower_z, prior_z, positives, choice.fusion())


def ndcg(scores: Tensor, eligible: Tensor, targets: Tensor, k: int = K) -> npt.NDArray[np.float64]:
    """Return (B,) NDCG@k with binary relevance, the ideal truncated at min(k, number of targets).

    Args:
        scores: (B, N).
        eligible: (B, N) bool, what may be recommended.
        targets: (B, N) bool, at least one a row.
        k: Length of the list.
    """
    k = min(k, scores.shape[1])
    top = torch.topk(scores.masked_fill(~eligible, -torch.inf), k, dim=-1)
    hits = targets.gather(1, top.indices) & (top.values > -torch.inf)
    discount = 1.0 / torch.log2(torch.arange(2, k + 2, dtype=torch.float64))
    ideal = discount.cumsum(0)[targets.sum(-1).clamp(max=k) - 1]
    return ((hits.double() * discount).sum(-1) / ideal).numpy()
