"""Choices made on the validation fold: which linear part, how strong, how fused."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from counterpoint.config.train import TrainConfig
from counterpoint.graph import TowerScorer
from counterpoint.histories import Histories
from counterpoint.linear import LinearScorer
from counterpoint.prior import PriorScorer
from counterpoint.validation_scores import Choices, Judge

__all__ = ["Choices", "Search", "fallback", "search"]


@dataclass(frozen=True)
class Search:
    """What was tried and what was taken.

    Attributes:
        choices: Taken.
        ndcg: Validation NDCG@10 of the taken fusion; None without validation.
        users: Validation users it rests on.
        tried: One record per candidate with its mean NDCG@10.
        why: One sentence.
    """

    choices: Choices
    ndcg: float | None
    users: int
    tried: list[dict[str, Any]]
    why: str


def fallback(config: TrainConfig, *, has_tower: bool, has_text: bool) -> Choices:
    """Return moderate settings for data without enough validation users."""
    weights = [w for w in config.linear.text_weights if has_text or w == 0.0] or [0.0]
    return Choices(
        text_weight=_middle(weights),
        recency=_middle(config.linear.recency),
        normalisation=config.fusion.normalisations[-1],
        tower=config.fusion.fallback_tower_weight if has_tower else 0.0,
        prior=config.prior.fallback_weight,
        half_life_days=config.prior.half_lives[0],
    )


def _middle(grid: Sequence[float]) -> float:
    return sorted(grid)[len(grid) // 2]


def search(
    histories: Histories,
    targets: sp.csr_matrix,
    warm: npt.NDArray[np.bool_],
    tower: TowerScorer,
    linears: dict[float, LinearScorer],
    priors: dict[float | None, PriorScorer],
    profile: Sequence[str],
    start: Choices,
    config: TrainConfig,
) -> Search:
    """Choose by NDCG@10 over the validation users.

    Of the candidates whose paired mean lies within one standard error of the best, the one nearest
    to ``start`` is taken (the one-standard-error rule of Breiman et al. 1984): a smaller gain would
    not carry over.

    Args:
        histories: (U,) validation users.
        targets: (U, N) boolean.
        warm: (N,) items with interactions in the fit.
        tower: Fitted on the train fold.
        linears: text weight -> scorer fitted on the train fold.
        priors: half-life -> scorer fitted on the train fold.
        profile: Profile vocabulary.
        start: What is kept unless something else is clearly better; also the fallback.
        config: The grids.
    """
    if len(histories) > config.fusion.max_valid_users:
        rng = np.random.default_rng(config.seed)
        users = rng.choice(len(histories), config.fusion.max_valid_users, replace=False)
        histories, targets = histories.take(np.sort(users)), targets[np.sort(users)]
    judge = Judge(histories, targets, warm, tower, linears, priors, profile, config)

    alone = judge.prior_alone()
    half_life = _pick(alone, lambda days: float(days != start.half_life_days))
    start = replace(start, half_life_days=half_life)
    tower_weights = config.fusion.tower_weights if start.tower else (0.0,)
    grid = [
        replace(start, text_weight=t, recency=r, normalisation=n, tower=w)
        for t, r, n, w in itertools.product(
            linears, config.linear.recency, config.fusion.normalisations, tower_weights
        )
    ]
    scores = judge.fused(grid, "Choose the fusion")
    chosen = _pick(scores, lambda c: _distance(c, start))
    second = [replace(chosen, prior=weight) for weight in config.prior.weights]
    scores_prior = judge.fused(second, "Choose the prior's weight")
    chosen = _pick(scores_prior, lambda c: abs(c.prior - start.prior))
    best = float(scores_prior[chosen].mean())
    tried = [{"half_life_days": h, "prior_alone": float(v.mean())} for h, v in alone.items()]
    tried += [asdict(c) | {"ndcg": float(v.mean())} for c, v in (scores | scores_prior).items()]
    return Search(chosen, best, len(histories), tried, "chosen on the validation fold")


def _pick(scores: dict[Any, npt.NDArray], distance: Callable[[Any], float]) -> Any:
    """Return the candidate nearest to the start of those within one standard error of the best."""
    best = max(scores, key=lambda candidate: scores[candidate].mean())
    near = [best]
    for candidate, values in scores.items():
        gap = scores[best] - values
        error = gap.std(ddof=1) / np.sqrt(len(gap)) if len(gap) > 1 else np.inf
        if gap.mean() <= error:
            near.append(candidate)
    return min(near, key=lambda c: (distance(c), -scores[c].mean()))


def _distance(candidate: Choices, start: Choices) -> float:
    """Relative steps away from the start; comparable across settings."""
    pairs = (
        (candidate.text_weight, start.text_weight),
        (candidate.recency, start.recency),
        (candidate.tower, start.tower),
    )
    steps = sum(abs(np.log1p(a) - np.log1p(b)) for a, b in pairs)
    return float(steps + 0.5 * (candidate.normalisation != start.normalisation))
