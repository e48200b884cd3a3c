"""A baseline tuned on validation, fitted and judged once."""

from typing import Any

from counterpoint import baselines, evaluation
from counterpoint.baseline_tuning import Scope, tune
from counterpoint.config import Config
from counterpoint.histories import Scorer
from counterpoint.text_vectors import text_vectors
from counterpoint.trial_data import TrialData
from counterpoint.trials import Trial, scorer_trial


def baseline_trial(name: str, data: TrialData, settings: Config, scope: Scope) -> Trial:
    """Tune one baseline on validation, fit it on train and validation and judge it.

    Args:
        name: Plugin; its options of ``evaluate.baselines``, if there are any, are kept.
        data: What to learn from and to be judged on.
        settings: ``evaluate`` (metrics, options) and ``train.encoder`` (for those that read text).
        scope: Which baselines are tuned.

    Raises:
        CounterpointError: As ``baseline_tuning.tune`` and ``evaluation.prepare``.
    """
    text = None
    if baselines.reads_text(name):
        known = data.read()
        catalogue = evaluation.candidates([], known)
        text = text_vectors(known.items, catalogue, settings.train.encoder)

    def fit(task: evaluation.Task, choose: evaluation.Task | None) -> tuple[Scorer, dict[str, Any]]:
        given = settings.evaluate.baselines.get(name)
        tuned = tune(name, choose, task, options=given, text=text, scope=scope)
        return tuned.scorer, tuned.log()

    return scorer_trial(name, data, settings, fit)
