"""The runs of the benchmark, each in a process of its own so that its peak memory is its own."""

import logging
import multiprocessing
import resource
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from counterpoint import evaluation, examples, splits, tables
from counterpoint.catalogues import on_catalogue
from counterpoint.config import (
    EvaluateConfig,
    FeaturesConfig,
    IngestConfig,
    SplitConfig,
    TrainConfig,
)
from counterpoint.histories import order_events
from counterpoint.stages import ingest

METRICS = ("ndcg", "recall", "recall@20", "coverage")


@dataclass(frozen=True)
class Run:
    """One method on one protocol.

    Attributes:
        method: ``model`` or a baseline.
        seed: Training seed; None for baselines, which have none.
        values: Metric -> mean over users.
        ndcg: (U,) NDCG of each test user.
        users: Test users.
        targets: Their targets.
        cpu_seconds: Of fitting, choices on validation included.
        peak_mb: Peak resident memory of the process that fitted and scored.
        report: What the trainer reports; empty for baselines.
    """

    method: str
    seed: int | None
    values: dict[str, float]
    ndcg: npt.NDArray[np.float64]
    users: int
    targets: int
    cpu_seconds: float
    peak_mb: float
    report: dict[str, Any]


def fetch(cache: Path, dataset: Path) -> str:
    """Read MovieLens-100K into canonical tables; return the hash of their content."""
    ingest.run(IngestConfig(cache=str(cache)), dataset=dataset)
    return tables.content_hash(tables.read(dataset))


def isolated(function: Any, *arguments: Any) -> Any:
    """Call a function in a fresh process and return its result."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(function, *arguments).result()


def run_baseline(name: str, dataset: Path, split: SplitConfig) -> Run:
    """Fit and judge one baseline with its default options."""
    config = EvaluateConfig(metrics=METRICS, baselines={name: {}})
    interactions, known = _folded(dataset, split)
    task = _task(interactions, known, evaluation.candidates([], known))
    started = time.process_time()
    scorer = evaluation.fit_baselines(task, config.baselines)[name]
    cpu = time.process_time() - started
    return _run(name, None, evaluation.judge(scorer, task, config), task, cpu, {})


def run_model(
    dataset: Path, split: SplitConfig, seed: int, config: TrainConfig, cache: Path
) -> Run:
    """Draw examples, train and judge the model with one training seed."""
    logging.basicConfig(level=logging.WARNING)
    from counterpoint import training

    interactions, known = _folded(dataset, split)
    encoder = config.encoder.model_copy(update={"cache": str(cache)})
    settings = config.model_copy(update={"seed": seed, "encoder": encoder})
    drawn = examples.plain_examples(interactions, known.users, FeaturesConfig(seed=seed))
    with tempfile.TemporaryDirectory() as workdir:
        started = time.process_time()
        model = training.fit(
            interactions, known.items, known.users, drawn, settings, workdir=Path(workdir)
        )
        cpu = time.process_time() - started
    task = _task(interactions, known, evaluation.candidates(model.item_ids, known))
    scorer = on_catalogue(model, model.item_ids, task.item_ids)
    judged = evaluation.judge(scorer, task, EvaluateConfig(metrics=METRICS))
    report = {name: model.report[name] for name in model.report if name not in ("curves", "tried")}
    return _run("model", seed, judged, task, cpu, report)


def _folded(dataset: Path, split: SplitConfig) -> tuple[pl.DataFrame, tables.Tables]:
    known = tables.read(dataset)
    return splits.assign(order_events(known.interactions, seed=split.seed), split), known


def _task(interactions: pl.DataFrame, known: tables.Tables, item_ids: list[str]) -> evaluation.Task:
    return evaluation.prepare(interactions, known.items, known.users, item_ids=item_ids)


def _run(
    method: str,
    seed: int | None,
    judged: evaluation.Judged,
    task: evaluation.Task,
    cpu_seconds: float,
    report: dict[str, Any],
) -> Run:
    vector = judged.measured["ndcg"].per_user
    assert vector is not None, "NDCG has a value per user"
    return Run(
        method,
        seed,
        {name: measured.value for name, measured in judged.measured.items()},
        vector,
        len(task.histories),
        int(task.targets.nnz),
        cpu_seconds,
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        report,
    )
