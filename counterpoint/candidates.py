"""The scorers that validation chooses among, fitted on the train fold within a budget."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from counterpoint import budget, fitting, trainer
from counterpoint.choices import CONFIGURED, Choices, LinearPart, linear_parts
from counterpoint.config.train import TrainConfig
from counterpoint.factors import FactorScorer
from counterpoint.fitting import Fold
from counterpoint.linear import LinearScorer
from counterpoint.pools import Validation, alone
from counterpoint.prior import PriorScorer
from counterpoint.significance import nearest_of_best
from counterpoint.tower_scorer import TowerScorer

logger = logging.getLogger(__name__)

TrainTower = Callable[[Fold, str], tuple[TowerScorer, trainer.TrainingResult]]
"""Trains a variant of the towers on a fold."""

MAX_HALVINGS = 4
"""How far the search for a ridge may walk from the configured one."""


@dataclass
class Candidates:
    """Fitted scorers by name.

    Attributes:
        linears: name -> part and scorer.
        towers: variant -> scorer.
        factors: The factorisation, if it is a candidate.
        priors: half-life -> scorer.
        tried: One record per scorer judged alone.
    """

    linears: dict[str, tuple[LinearPart, LinearScorer]] = field(default_factory=dict)
    towers: dict[str, TowerScorer] = field(default_factory=dict)
    factors: FactorScorer | None = None
    priors: dict[float | None, PriorScorer] = field(default_factory=dict)
    tried: list[dict[str, Any]] = field(default_factory=list)


def fit(
    fold: Fold,
    validation: Validation,
    features: npt.NDArray[np.float32],
    tokens: list[str],
    first: Choices,
    train_tower: TrainTower,
    allowance: budget.Budget,
    config: TrainConfig,
) -> Candidates:
    """Fit what the budget allows; the starting settings come first and are always fitted.

    Args:
        fold: The fit to choose by.
        validation: Who judges the ridge of each linear form.
        features: (N, F) of the items.
        tokens: Profile vocabulary.
        first: The starting settings.
        train_tower: See ``TrainTower``.
        allowance: The budget; what is skipped is noted in it.
        config: The grids.
    """
    found = Candidates()
    for half_life in config.prior.half_lives:
        found.priors[half_life] = fitting.fit_prior(fold, features, tokens, half_life, config)
    _towers(found, fold, train_tower, allowance, config, always=True)
    parts = linear_parts(config, has_text=fold.gram.has_text)
    forms = sorted(config.linear.forms, key=lambda name: name != config.fusion.linear.split("/")[0])
    for form in forms:
        own = {name: part for name, part in parts.items() if name.split("/")[0] == form}
        must = any(part.name in own for part, _ in first.linears)
        _linear(found, form, own, fold, validation, allowance, config, must=must)
    if any(config.factors.weights):
        cost = budget.factor_seconds(
            fold.liked.nnz,
            sum(fold.liked.shape),
            config.factors.dim,
            config.factors.iterations,
        )
        if allowance.allows("factors", cost):
            found.factors = fitting.fit_factors(fold, config)
    _towers(found, fold, train_tower, allowance, config, always=False)
    return found


def _towers(
    found: Candidates,
    fold: Fold,
    train_tower: TrainTower,
    allowance: budget.Budget,
    config: TrainConfig,
    *,
    always: bool,
) -> None:
    variants = [CONFIGURED] if always else list(config.choices.towers)
    if not fold.gram.has_text:
        variants = [v for v in variants if v == CONFIGURED or not _only_text(v, config)]
    for variant in variants:
        settings = fitting.tower_config(config, variant)
        seconds = budget.tower_seconds(
            trainer.step_budget(len(fold.train), settings.fit),
            batch=min(settings.fit.batch_size, len(fold.train)),
            n_items=min(fold.liked.shape[1], settings.fit.max_full_softmax_items),
            events=len(fold.train.items) / max(len(fold.train), 1) / 2,
        )
        if always:
            allowance.spent += seconds
        elif not found.towers or not allowance.allows(f"tower {variant}", seconds):
            continue
        tower, result = train_tower(fold, variant)
        if result.steps:
            found.towers[variant] = tower


def _only_text(variant: str, config: TrainConfig) -> bool:
    """Whether a variant differs from the configured tower in its text alone."""
    other = config.choices.towers[variant]
    return other.steps == 1.0 and other.text_gate is not None and other.modality_gate is None


def _linear(
    found: Candidates,
    name: str,
    parts: dict[str, LinearPart],
    fold: Fold,
    validation: Validation,
    allowance: budget.Budget,
    config: TrainConfig,
    *,
    must: bool,
) -> None:
    """Solve a form with its ridge, then with others as long as they are better.

    Of a walk only the first and the best are kept, for thousands of items fill 100 MB each.
    """
    form = next(iter(parts.values())).form
    cost = budget.linear_seconds(len(fold.gram.items), transitions=form.share < 1.0)
    if must:
        allowance.spent += cost
    elif not allowance.allows(f"linear {name}", cost):
        return
    scores: dict[float, np.ndarray] = {}
    solved: dict[float, dict[str, tuple[LinearPart, LinearScorer]]] = {}

    def judge(factor: float) -> None:
        ridged = form.model_copy(update={"l2": form.l2 * factor})
        mark = "" if factor == 1.0 else f"*{factor:g}"
        first: LinearScorer | None = None
        own = {}
        for place, part in parts.items():
            changed = replace(part, name=place.replace("/", f"{mark}/"), form=ridged)
            if first is None:
                first = fitting.fit_linear(fold, changed, config)
                scorer = first
            else:
                scorer = first.weighed(changed.weighting)
            own[changed.name] = (changed, scorer)
        judged = alone(validation, {key: scorer for key, (_, scorer) in own.items()}, f"Try {name}")
        found.tried.extend(
            {"step": "linear alone", "candidate": key, "ndcg@10": float(values.mean())}
            for key, values in judged.items()
        )
        best = max(judged, key=lambda key: judged[key].mean())
        scores[factor], solved[factor] = judged[best], own

    judge(1.0)
    for step in config.linear.l2_steps:
        factor = 1.0
        for _ in range(MAX_HALVINGS):
            if not allowance.allows(f"linear {name} with l2 * {factor * step:g}", cost):
                break
            judge(factor * step)
            if scores[factor * step].mean() <= scores[factor].mean():
                del solved[factor * step], scores[factor * step]
                break
            if factor != 1.0:
                del solved[factor], scores[factor]
            factor *= step
        if factor != 1.0:
            break
    taken = nearest_of_best(scores, lambda factor: abs(float(np.log(factor))))
    found.linears |= solved[taken]
