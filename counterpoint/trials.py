"""One method fitted and judged once: the unit that benchmarks and ablations compare."""

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from counterpoint import evaluation, vector_tables
from counterpoint.catalogues import on_catalogue
from counterpoint.cold_start import warm_and_cold
from counterpoint.config import Config
from counterpoint.histories import Scorer
from counterpoint.isolation import peak_rss_mb
from counterpoint.trial_data import TrialData

MIXED = "warm_and_cold"
"""Split protocol with known and new items in one test."""

UNREPORTED = ("curves",)
"""Parts of the trainer's report that a trial does not keep: long, and drawn in the run report."""


@dataclass(frozen=True)
class Trial:
    """What one method did on one fold.

    Attributes:
        method: Name in the table.
        seed: Training seed; None for methods that draw nothing.
        values: Metric -> mean over the users.
        user_ids: (U,) the judged users.
        primary: (U,) the first metric of each.
        targets: Number of targets of these users.
        cpu_seconds: Of fitting, choices on validation included.
        peak_mb: Peak resident memory of the process that fitted and judged.
        report: What was chosen and what it cost; JSON-ready.
    """

    method: str
    seed: int | None
    values: dict[str, float]
    user_ids: list[str]
    primary: npt.NDArray[np.float64]
    targets: int
    cpu_seconds: float
    peak_mb: float
    report: dict[str, Any] = field(default_factory=dict)

    @property
    def users(self) -> int:
        """Number of judged users."""
        return len(self.primary)


def model_trial(method: str, data: TrialData, settings: Config) -> Trial:
    """Train the model on the fit events of the data and judge it on the judged fold.

    The same steps as the pipeline's: examples drawn point in time, choices on validation, refit,
    judged on the full catalogue. Run it through ``isolation.isolated``.

    Args:
        method: Name in the table.
        data: What to learn from and to be judged on.
        settings: ``features`` (examples), ``train`` (its ``seed`` seeds everything) and
            ``evaluate`` (metrics; the first is the primary one).

    Raises:
        CounterpointError: As ``training.fit`` and ``evaluation.prepare``.
    """
    from counterpoint import examples, training

    known = data.read()
    seed = settings.train.seed
    drawn = examples.plain_examples(
        known.interactions, known.users, settings.features.model_copy(update={"seed": seed})
    )
    with tempfile.TemporaryDirectory() as workdir:
        started = time.process_time()
        model = training.fit(
            known.interactions,
            known.items,
            known.users,
            drawn,
            settings.train,
            workdir=Path(workdir),
            vectors=vector_tables.read(data.folder),
        )
        cpu = time.process_time() - started
    task = data.task(known, evaluation.candidates(model.item_ids, known))
    scorer = on_catalogue(model, model.item_ids, task.item_ids)
    report = {name: value for name, value in model.report.items() if name not in UNREPORTED}
    return judged(method, seed, scorer, data, task, settings, cpu, report)


def scorer_trial(
    method: str,
    data: TrialData,
    settings: Config,
    fit: Callable[[evaluation.Task, evaluation.Task | None], tuple[Scorer, dict[str, Any]]],
) -> Trial:
    """Fit any other method and judge it on the same users, targets and candidates.

    Args:
        method: Name in the table.
        data: What to learn from and to be judged on.
        settings: ``evaluate`` (metrics).
        fit: Receives the judged task and, for choices, the validation task (None where validation
            has no targets), and returns a scorer and what it chose.
    """
    known = data.read()
    catalogue = evaluation.candidates([], known)
    task, choose = data.task(known, catalogue), data.validation_task(known, catalogue)
    started = time.process_time()
    scorer, report = fit(task, choose)
    cpu = time.process_time() - started
    return judged(method, None, scorer, data, task, settings, cpu, report)


def judged(
    method: str,
    seed: int | None,
    scorer: Scorer,
    data: TrialData,
    task: evaluation.Task,
    settings: Config,
    cpu_seconds: float,
    report: dict[str, Any],
) -> Trial:
    """Measure a fitted scorer and gather the trial; a mixed split adds what cold items cost."""
    found = evaluation.judge(scorer, task, settings.evaluate)
    primary = found.measured[settings.evaluate.metrics[0]].per_user
    assert primary is not None, "evaluation.check lets only metrics per user be the first"
    if data.split.protocol == MIXED:
        report = report | {MIXED: warm_and_cold(scorer, found, task, settings.evaluate)}
    return Trial(
        method,
        seed,
        {name: float(metric.value) for name, metric in found.measured.items()},
        list(task.histories.user_ids),
        primary,
        int(task.targets.nnz),
        cpu_seconds,
        peak_rss_mb(),
        report,
    )
