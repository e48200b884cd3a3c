"""Paired comparisons of judged methods, over all users and slice by slice, as JSON."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from counterpoint import columns, metrics
from counterpoint.bootstrap import mean_interval
from counterpoint.config.evaluate import EvaluateConfig
from counterpoint.evaluation import Judged, Task
from counterpoint.interval_json import interval_json, number
from counterpoint.simultaneous import compare
from counterpoint.slices import Slice, item_attribute_slices, slices, user_attribute_slices

MODEL = "model"
CHAMPION = "champion"


def summarise(judged: Mapping[str, Judged], task: Task, config: EvaluateConfig) -> dict[str, Any]:
    """Compare ``model`` with every other method.

    The p-values of one metric are corrected for the number of other methods; those of the slices,
    all in the primary metric, for the number of slices times other methods.

    Returns:
        JSON-ready: ``users``, ``targets``, ``candidates`` (that may be recommended), ``k``,
        ``primary``, ``confidence``, ``metrics`` (direction), ``methods`` (method -> metric ->
        value), ``intervals`` (method -> metric -> interval), ``comparisons`` (other -> metric ->
        interval of model minus other with ``p`` and ``p_corrected``), ``slices``.
    """
    model = judged[MODEL]
    others = [name for name in judged if name != MODEL]
    with_users = [name for name, m in model.measured.items() if m.per_user is not None]
    comparisons: dict[str, dict[str, Any]] = {other: {} for other in others}
    for name in with_users:
        differences = [_vector(model, name) - _vector(judged[other], name) for other in others]
        bases = [judged[other].measured[name].value for other in others]
        for other, row in zip(others, _compared(differences, bases, config), strict=True):
            comparisons[other][name] = row
    return {
        "users": len(task.histories),
        "targets": int(task.targets.nnz),
        "candidates": len(task.item_ids) if task.allowed is None else int(task.allowed.sum()),
        "k": config.k,
        "primary": config.metrics[0],
        "confidence": config.confidence,
        "metrics": {
            name: {"greater_is_better": metrics.greater_is_better(name)} for name in config.metrics
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
        "comparisons": comparisons,
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


def _vector(judged: Judged, metric: str) -> npt.NDArray[np.float64]:
    vector = judged.measured[metric].per_user
    assert vector is not None, "only metrics with a value per user are compared"
    return vector


def _mean(vector: npt.NDArray[np.float64]) -> float:
    """Mean of the users who have a value; NaN if nobody has."""
    defined = vector[~np.isnan(vector)]
    return float(defined.mean()) if len(defined) else float("nan")


def _sampling(config: EvaluateConfig) -> dict[str, Any]:
    return {
        "resamples": config.resamples,
        "confidence": config.confidence,
        "seed": config.seed,
    }


def _compared(
    differences: Sequence[npt.NDArray[np.float64]], bases: Sequence[float], config: EvaluateConfig
) -> list[dict[str, Any]]:
    """One family of comparisons as JSON: (U,) differences and the values they are relative to."""
    if not differences:
        return []
    found = compare(np.stack(differences, axis=1), **_sampling(config))
    return [
        {
            "mean": number(found.mean[i]),
            "low": number(found.low[i]),
            "high": number(found.high[i]),
            "p": number(found.p[i]),
            "p_corrected": number(found.p_corrected[i]),
            "users": int(found.users[i]),
            "relative": number(found.mean[i] / base) if base else None,
        }
        for i, base in enumerate(bases)
    ]


def _slices(
    judged: Mapping[str, Judged], task: Task, config: EvaluateConfig
) -> list[dict[str, Any]]:
    """The primary metric of every method on every slice; those without users say so."""
    others = [name for name in judged if name != MODEL]
    primary = config.metrics[0]
    rows: list[dict[str, Any]] = []
    differences: list[npt.NDArray[np.float64]] = []
    bases: list[float] = []
    for part in _parts(judged[MODEL], task, config):
        vectors = {n: _on_slice(part, result, primary, config) for n, result in judged.items()}
        users, cut = part.cut(judged[MODEL].ranking)
        row: dict[str, Any] = {
            "name": part.name,
            "meaning": part.meaning,
            "users": len(users),
            "targets": int(cut.targets.nnz),
        }
        rows.append(row)
        if not len(users):
            continue
        values = {name: _mean(vector) for name, vector in vectors.items()}
        row["methods"] = {name: number(value) for name, value in values.items()}
        differences += [vectors[MODEL] - vectors[other] for other in others]
        bases += [values[other] for other in others]
    compared = iter(_compared(differences, bases, config))
    for row in rows:
        if "methods" in row:
            row["comparisons"] = {other: next(compared) for other in others}
    return rows


def _on_slice(
    part: Slice, judged: Judged, metric: str, config: EvaluateConfig
) -> npt.NDArray[np.float64]:
    """(U,) metric of the users of a slice on its targets; NaN for the others."""
    if part.items is None:
        return np.where(part.users, _vector(judged, metric), np.nan)
    users, cut = part.cut(judged.ranking)
    vector = np.full(len(part.users), np.nan)
    vector[users] = metrics.measure(metric, cut, k=config.k).per_user
    return vector


def _parts(model: Judged, task: Task, config: EvaluateConfig) -> list[Slice]:
    trained = {
        user
        for user, events in zip(task.train.user_ids, np.diff(task.train.indptr), strict=True)
        if events
    }
    history = task.histories.matrix(len(task.item_ids), positive_only=True)
    limits = {"count": config.attribute_slices, "min_users": config.attribute_min_users}
    return [
        *slices(
            liked_before=np.diff(history.indptr),
            trained_on=np.array([user in trained for user in task.histories.user_ids]),
            popularity=model.ranking.popularity,
            config=config,
        ),
        *user_attribute_slices(task.histories.attributes, **limits),
        *item_attribute_slices(task.targets, task.attributes, task.attribute_names, **limits),
    ]
