"""The trials of the benchmark: what each method fits and is judged on."""

import logging
from pathlib import Path
from typing import Any

from benchmarks.quality import ensemble
from counterpoint import evaluation, tables, trial_data
from counterpoint.baseline_trials import baseline_trial
from counterpoint.baseline_tuning import Scope
from counterpoint.config import Config
from counterpoint.histories import Scorer
from counterpoint.trial_data import TrialData
from counterpoint.trials import Trial, model_trial, scorer_trial

METRICS = ("ndcg", "recall", "recall@20", "coverage")

MODEL, DEMO = "model", "model, demo budget"


def prepare(settings: Config, folder: Path) -> str:
    """Read and validate a data set into canonical tables; return the hash of their content."""
    return tables.content_hash(trial_data.read_source(settings, folder))


def baseline(name: str, scope: Scope, data: TrialData, settings: Config) -> Trial:
    """Tune one baseline on validation, fit it on train and validation and judge it."""
    return baseline_trial(name, data, settings, scope)


def classical_ensemble(
    members: dict[str, dict[str, Any]], data: TrialData, settings: Config
) -> Trial:
    """Choose the weights of the classical ensemble on validation, fit and judge it."""

    def fit(task: evaluation.Task, choose: evaluation.Task | None) -> tuple[Scorer, dict[str, Any]]:
        return ensemble.fit(task, choose, members)

    return scorer_trial(ensemble.NAME, data, settings, fit)


def model(method: str, data: TrialData, settings: Config) -> Trial:
    """Train and judge the model with one training seed."""
    logging.basicConfig(level=logging.WARNING)
    return model_trial(method, data, settings)
