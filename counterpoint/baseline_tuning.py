"""Baselines tuned as a peer would tune them: a small grid, on the validation fold, then refitted.

A baseline declares ``GRID``, a sequence of rounds; a round maps options to values. The rounds are
walked in order (coordinate by coordinate): each tries the product of its values beside what the
rounds before have taken. What has the highest NDCG@10 on the validation fold is fitted once more
on the events of the judged task (train and validation).
"""

import itertools
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt

from counterpoint import baselines
from counterpoint.config.base import Section
from counterpoint.config.evaluate import EvaluateConfig
from counterpoint.evaluation import Task, judge
from counterpoint.histories import Scorer
from counterpoint.progress import track

logger = logging.getLogger(__name__)

DEPTH = 10
"""Depth of the NDCG that is chosen by."""

MAX_USERS = 5_000
"""Validation users a trial is judged on at most."""

MAX_ITEMS = 4_000
"""Bound of ``max_items`` in a trial: a dense solve takes time with the cube of the items, and the
best penalty hardly depends on their number. The chosen options are fitted without it."""

Scope = Literal["none", "closed_form", "all"]


@dataclass(frozen=True)
class Tuned:
    """A fitted baseline and how its options came about.

    Attributes:
        name: Plugin.
        scorer: Fitted on the judged task's training events with ``options``.
        options: The options that differ from the plugin's defaults: the given and the chosen ones.
        tried: One record per trial: ``options``, ``ndcg`` (validation NDCG@10), ``cpu_seconds``.
            Trials that only change how a history is weighed reuse the fit they stand on.
        why: One sentence.
    """

    name: str
    scorer: Scorer
    options: dict[str, Any]
    tried: list[dict[str, Any]] = field(default_factory=list)
    why: str = ""

    def log(self) -> dict[str, Any]:
        """What evaluation.json keeps: all but the times, so that equal runs write equal files."""
        trials = [{"options": one["options"], "ndcg": one["ndcg"]} for one in self.tried]
        return {"options": self.options, "why": self.why, "tried": trials}


def tune(
    name: str,
    task_valid: Task | None,
    task_test: Task,
    *,
    options: Mapping[str, Any] | None = None,
    text: npt.NDArray[np.float32] | None = None,
    scope: Scope = "all",
    max_trials: int = 24,
    seed: int = 0,
) -> Tuned:
    """Choose a baseline's options on validation and fit it for the test.

    Args:
        name: Plugin of counterpoint/baselines.
        task_valid: The validation fold with its training events; None: the defaults are used.
        task_test: The judged fold; the scorer is fitted on its training events.
        options: Given by the user: they are kept, and left out of the grid.
        text: (N, T) unit text vectors of the items, for the baselines that read text.
        scope: ``closed_form`` leaves those that are trained by gradient steps at their defaults.
        max_trials: Trials at most; of a longer grid a seeded sample of each round is tried.
        seed: Of that sample and of the order among equal scores.

    Raises:
        ConfigError: Unknown baseline or options.
    """
    plugin = baselines.load(name)
    given = dict(options or {})
    grid = [
        {option: values for option, values in stage.items() if option not in given}
        for stage in getattr(plugin, "GRID", ())
    ]
    grid = [stage for stage in grid if stage]
    why = _reason_not_to(plugin, task_valid, grid, scope)
    tried: list[dict[str, Any]] = []
    chosen = given
    if why is None:
        assert task_valid is not None, "_reason_not_to names a missing validation fold"
        chosen, tried = _walk(name, grid, given, task_valid, text, max_trials, seed)
        why = f"best of {len(tried)} on the validation fold"
    scorer = baselines.fit(
        name, task_test.train, n_items=len(task_test.item_ids), options=chosen, text=text
    )
    return Tuned(name, scorer, chosen, tried, why)


def fit_baselines(
    config: EvaluateConfig,
    task_valid: Task | None,
    task_test: Task,
    *,
    text: npt.NDArray[np.float32] | None = None,
) -> dict[str, Tuned]:
    """Tune and fit the configured baselines.

    Args:
        config: ``baselines``, ``tune_baselines``, ``tuning_trials`` and ``seed``.
        task_valid: As in ``tune``.
        task_test: As in ``tune``.
        text: As in ``tune``.

    Raises:
        ConfigError: As ``tune``.
    """
    return {
        name: tune(
            name,
            task_valid,
            task_test,
            options=options,
            text=text,
            scope=config.tune_baselines,
            max_trials=config.tuning_trials,
            seed=config.seed,
        )
        for name, options in config.baselines.items()
    }


def _reason_not_to(
    plugin: ModuleType, task_valid: Task | None, grid: list[dict[str, Any]], scope: Scope
) -> str | None:
    if scope == "none":
        return "not tuned: tuning is off"
    if not grid:
        return "not tuned: there is nothing to choose"
    if scope == "closed_form" and getattr(plugin, "TRAINED", False):
        return "not tuned: trained by gradient steps, which evaluate.tune_baselines=all includes"
    if task_valid is None:
        return "not tuned: the validation fold has no targets"
    return None


def _walk(
    name: str,
    grid: list[dict[str, Any]],
    given: dict[str, Any],
    task: Task,
    text: npt.NDArray[np.float32] | None,
    max_trials: int,
    seed: int,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the best options and the trials."""
    rng = np.random.default_rng(seed)
    task = _bounded(task, rng)
    stages = [_sample(stage, max(1, max_trials // len(grid)), rng) for stage in grid]
    progress = track(range(sum(map(len, stages))), f"Tune {name}")
    best, best_ndcg = given, -np.inf
    taken: tuple[Section, Scorer] | None = None
    tried: list[dict[str, Any]] = []
    met: list[Section] = []
    for stage in stages:
        base = best
        for values in stage:
            next(progress)
            trial = base | values
            started = time.process_time()
            config = baselines.configure(name, trial)
            if config in met:
                continue
            met.append(config)
            config = _cheaper(config)
            scorer = _reweighed(name, config, taken)
            if scorer is None:
                scorer = baselines.fit(
                    name,
                    task.train,
                    n_items=len(task.item_ids),
                    options=config.model_dump(),
                    text=text,
                )
            ndcg = _ndcg(scorer, task, seed=seed)
            spent = round(time.process_time() - started, 2)
            tried.append({"options": trial, "ndcg": ndcg, "cpu_seconds": spent})
            if ndcg > best_ndcg:
                best, best_ndcg, taken = trial, ndcg, (config, scorer)
    for _ in progress:
        pass
    logger.info(
        "%s: NDCG@%d %.4f on validation with %s", name, DEPTH, best_ndcg, best or "defaults"
    )
    return best, tried


def _reweighed(name: str, config: Section, taken: tuple[Section, Scorer] | None) -> Scorer | None:
    """The best scorer so far with other ``SCORING`` options, if nothing else has changed."""
    scoring = getattr(baselines.load(name), "SCORING", ())
    if taken is None or not scoring:
        return None
    changes = {option: getattr(config, option) for option in scoring}
    if taken[0].model_copy(update=changes) != config:
        return None
    scorer: Scorer = replace(cast(Any, taken[1]), **changes)
    return scorer


def _cheaper(config: Section) -> Section:
    bound = getattr(config, "max_items", 0)
    return config.model_copy(update={"max_items": MAX_ITEMS}) if bound > MAX_ITEMS else config


def _ndcg(scorer: Scorer, task: Task, *, seed: int) -> float:
    config = EvaluateConfig(k=DEPTH, metrics=("ndcg",), seed=seed)
    return judge(scorer, task, config).measured["ndcg"].value


def _bounded(task: Task, rng: np.random.Generator) -> Task:
    if len(task.histories) <= MAX_USERS:
        return task
    users = np.sort(rng.choice(len(task.histories), MAX_USERS, replace=False))
    return replace(task, histories=task.histories.take(users), targets=task.targets[users])


def _sample(
    stage: Mapping[str, Sequence[Any]], size: int, rng: np.random.Generator
) -> list[dict[str, Any]]:
    """The product of the values; of more than ``size`` a sample, in the order of the product."""
    product = [
        dict(zip(stage, values, strict=True)) for values in itertools.product(*stage.values())
    ]
    if len(product) <= size:
        return product
    return [product[place] for place in np.sort(rng.choice(len(product), size, replace=False))]
