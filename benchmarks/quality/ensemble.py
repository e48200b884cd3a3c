"""The best classical ensemble: EDLAE with recency, SLIST and iALS, added after standardising.

S = sum over members m of w_m * z(m), z = scores minus the user's mean over the unseen items,
divided by their standard deviation; the weights are chosen on validation by NDCG@10, then the
members are fitted again on train and validation. No text, no gradient steps: what an expert gets
in an afternoon.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from counterpoint import baselines, evaluation
from counterpoint.config import EvaluateConfig
from counterpoint.histories import Histories, Scorer
from counterpoint.progress import track

NAME = "classical_ensemble"
MEMBERS = ("edlae_recency", "slist", "ials")
WEIGHTS = (0.0, 0.25, 0.5, 1.0)
"""Grid of each weight; sets that are multiples of each other rank alike and are tried once."""


@dataclass(frozen=True)
class Ensemble:
    """Weighted sum of standardised scores.

    Attributes:
        members: Fitted scorers.
        weights: One weight a member.
    """

    members: Sequence[Scorer]
    weights: Sequence[float]

    def score(self, histories: Histories) -> npt.NDArray[np.float32]:
        """(U, N) fused scores."""
        pairs = zip(self.weights, self.members, strict=True)
        used = [(w, member) for w, member in pairs if w]
        fused = sum(w * standardised(m.score(histories), histories) for w, m in used)
        return np.asarray(fused, dtype=np.float32)


@dataclass(frozen=True)
class _Known:
    """Scores of one set of histories, computed once for all weights."""

    scores: npt.NDArray[np.float32]
    place: Mapping[str, int]

    def score(self, histories: Histories) -> npt.NDArray[np.float32]:
        return self.scores[[self.place[user] for user in histories.user_ids]]


def standardised(scores: npt.NDArray[np.float32], histories: Histories) -> npt.NDArray[np.float32]:
    """Z-scores of (U, N) scores over each user's unseen items; 0 where all are equal."""
    unseen = np.ones(scores.shape, dtype=bool)
    unseen[histories.owners, histories.items] = False
    count = np.maximum(unseen.sum(axis=1, keepdims=True), 1)
    centred = scores - np.where(unseen, scores, 0).sum(axis=1, keepdims=True) / count
    spread = np.sqrt(np.where(unseen, centred**2, 0).sum(axis=1, keepdims=True) / count)
    return np.divide(centred, spread, out=np.zeros_like(centred), where=spread > 0)


def candidate_weights(members: int) -> list[tuple[float, ...]]:
    """Distinct directions of the grid: the largest weight is 1."""
    sets = itertools.product(WEIGHTS, repeat=members)
    return [weights for weights in sets if max(weights) == max(WEIGHTS)]


def fit(
    task: evaluation.Task,
    choose: evaluation.Task | None,
    options: Mapping[str, dict[str, Any]],
) -> tuple[Ensemble, dict[str, Any]]:
    """Choose the weights on validation, then fit on everything that may be learnt from.

    Args:
        task: The judged fold.
        choose: The validation fold; None: equal weights.
        options: Options of each member, such as tuning chose them.
    """
    weights: tuple[float, ...] = (1.0,) * len(options)
    report: dict[str, Any] = {"members": dict(options), "tried": []}
    if choose is not None:
        weights, report["tried"] = _choose(choose, options)
    report["weights"] = dict(zip(options, weights, strict=True))
    return Ensemble(_members(task, options), weights), report


def _members(task: evaluation.Task, options: Mapping[str, dict[str, Any]]) -> list[Scorer]:
    n_items = len(task.item_ids)
    return [
        baselines.fit(name, task.train, n_items=n_items, options=given)
        for name, given in options.items()
    ]


def _choose(
    choose: evaluation.Task, options: Mapping[str, dict[str, Any]]
) -> tuple[tuple[float, ...], list[dict[str, Any]]]:
    place = {user: index for index, user in enumerate(choose.histories.user_ids)}
    members = [
        _Known(standardised(member.score(choose.histories), choose.histories), place)
        for member in _members(choose, options)
    ]
    config = EvaluateConfig(metrics=("ndcg",))
    tried: dict[tuple[float, ...], float] = {}
    for weights in track(candidate_weights(len(members)), "Choose the ensemble's weights"):
        total = sum(w * member.scores for w, member in zip(weights, members, strict=True))
        judged = evaluation.judge(_Known(np.asarray(total, np.float32), place), choose, config)
        tried[weights] = judged.measured["ndcg"].value
    best = max(tried, key=lambda weights: tried[weights])
    return best, [{"weights": w, "ndcg": value} for w, value in tried.items()]
