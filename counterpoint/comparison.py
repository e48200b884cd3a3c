"""Paired comparisons of judged methods, over all users and slice by slice, as JSON."""

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from counterpoint import columns, metrics, plugins
from counterpoint.bootstrap import Interval, mean_interval, paired_interval
from counterpoint.config.evaluate import EvaluateConfig
from counterpoint.evaluation import Judged, Task
from counterpoint.slices import slices

MODEL = "model"
CHAMPION = "champion"


def summarise(judged: Mapping[str, Judged], task: Task, config: EvaluateConfig) -> dict[str, Any]:
    """Compare ``model`` with every other method.

    Returns:
        JSON-ready: ``users``, ``targets``, ``candidates``, ``k``, ``primary``, ``confidence``,
        ``metrics`` (direction), ``methods`` (method -> metric -> value),
        ``intervals`` (method -> metric -> interval),
        ``comparisons`` (other -> metric -> interval of model minus other), ``slices``.
    """
    model = judged[MODEL]
    others = [name for name in judged if name != MODEL]
    with_users = [name for name, m in model.measured.items() if m.per_user is not None]
    return {
        "users": len(task.histories),
        "targets": int(task.targets.nnz),
        "candidates": len(task.item_ids),
        "k": config.k,
        "primary": config.metrics[0],
        "confidence": config.confidence,
        "metrics": {
            name: {
                "greater_is_better": plugins.load(
                    "counterpoint.metrics", metrics.parse(name, k=config.k)[0]
                ).greater_is_better
            }
            for name in config.metrics
        },
        "methods": {
            method: {name: number(m.value) for name, m in result.measured.items()}
            for method, result in judged.items()
        },
        "intervals": {
            method: {
                name: interval_json(mean_interval(_vector(result, name), **_sampling(config)))
                for name in with_users
            }
            for method, result in judged.items()
        },
        "comparisons": {
            other: {name: _compare(model, judged[other], name, config) for name in with_users}
            for other in others
        },
        "slices": _slices(judged, task, config),
    }


def per_user_table(judged: Mapping[str, Judged], task: Task) -> pl.DataFrame:
    """Return one row per method and user with every per-user metric."""
    return pl.concat(
        pl.DataFrame(
            {
                "method": method,
                columns.USER: list(task.histories.user_ids),
                "history": np.diff(task.histories.indptr),
                "targets": np.diff(task.targets.indptr),
            }
            | {n: m.per_user for n, m in result.measured.items() if m.per_user is not None}
        )
        for method, result in judged.items()
    )


def number(value: float) -> float | None:
    """A JSON number; what is not finite becomes null, never a made-up value."""
    return float(value) if math.isfinite(value) else None


def interval_json(interval: Interval) -> dict[str, Any]:
    """An interval as JSON."""
    return {n: v if n == "users" else number(v) for n, v in asdict(interval).items()}


def _vector(judged: Judged, metric: str) -> npt.NDArray[np.float64]:
    vector = judged.measured[metric].per_user
    assert vector is not None, "only metrics with a value per user are compared"
    return vector


def _sampling(config: EvaluateConfig) -> dict[str, Any]:
    return {
        "resamples": config.resamples,
        "confidence": config.confidence,
        "seed": config.seed,
    }


def _compare(model: Judged, other: Judged, metric: str, config: EvaluateConfig) -> dict[str, Any]:
    interval = paired_interval(_vector(model, metric), _vector(other, metric), **_sampling(config))
    base = other.measured[metric].value
    return interval_json(interval) | {"relative": number(interval.mean / base) if base else None}


def _slices(
    judged: Mapping[str, Judged], task: Task, config: EvaluateConfig
) -> list[dict[str, Any]]:
    """The primary metric of every method on every slice that has users."""
    ranking = judged[MODEL].ranking
    primary = config.metrics[0]
    trained = {
        user
        for user, events in zip(task.train.user_ids, np.diff(task.train.indptr), strict=True)
        if events
    }
    history = task.histories.matrix(len(task.item_ids), positive_only=True)
    rows = []
    for part in slices(
        liked_before=np.diff(history.indptr),
        trained_on=np.array([user in trained for user in task.histories.user_ids]),
        popularity=ranking.popularity,
        short_history=config.short_history,
        head_share=config.head_share,
    ):
        cuts = {name: part.cut(result.ranking)[1] for name, result in judged.items()}
        users = len(cuts[MODEL].top)
        row = {
            "name": part.name,
            "meaning": part.meaning,
            "users": users,
            "targets": int(cuts[MODEL].targets.nnz),
        }
        if users:
            values = {n: metrics.measure(primary, cut, k=config.k) for n, cut in cuts.items()}
            results = {n: Judged(cuts[n], {primary: value}) for n, value in values.items()}
            row["methods"] = {name: number(value.value) for name, value in values.items()}
            row["comparisons"] = {
                name: _compare(results[MODEL], results[name], primary, config)
                for name in results
                if name != MODEL
            }
        rows.append(row)
    return rows
