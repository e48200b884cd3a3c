"""The trials of one protocol as JSON: means, spread, cost and paired differences."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.quality import ensemble
from benchmarks.quality.runs import METRICS, MODEL
from counterpoint.bootstrap import paired_interval
from counterpoint.config import EvaluateConfig
from counterpoint.trials import Trial

RIVALS = ("ease", "ials", "slist", "edlae_recency", ensemble.NAME)
"""Peers the model is compared with, beside the best one of the run."""


def summarise(trials: Sequence[Trial], **facts: Any) -> dict[str, Any]:
    """Mean, spread and cost of each method, and the model's paired advantage over the rivals.

    Args:
        trials: All trials on the same users and targets.
        facts: Protocol and split, kept as they are.
    """
    methods = {t.method: [u for u in trials if u.method == t.method] for t in trials}
    result: dict[str, Any] = {
        **facts,
        "users": trials[0].users,
        "targets": trials[0].targets,
        "methods": {name: _method(found) for name, found in methods.items()},
    }
    if MODEL in methods:
        own = {t.method for t in trials if t.seed is not None}
        peers = [name for name in methods if name not in own]
        vectors = {name: mean_vector(found) for name, found in methods.items()}
        result["best_peer"] = max(peers, key=lambda p: float(vectors[p].mean()), default=None)
        named = [name for name in RIVALS if name in peers]
        rivals = dict.fromkeys([*named, *([result["best_peer"]] if peers else [])])
        result["advantage"] = {rival: advantage(vectors[MODEL], vectors[rival]) for rival in rivals}
    result["choices"] = [
        {"method": t.method, "seed": t.seed, "report": t.report} for t in trials if t.report
    ]
    return result


def mean_vector(trials: Sequence[Trial]) -> npt.NDArray[np.float64]:
    """(U,) NDCG@10 of each user, mean over the training seeds."""
    return np.asarray(np.mean([trial.primary for trial in trials], axis=0), dtype=np.float64)


def advantage(
    model: npt.NDArray[np.float64], rival: npt.NDArray[np.float64]
) -> dict[str, float | int | None]:
    """Mean difference with its paired interval, and relative to the rival."""
    config = EvaluateConfig()
    interval = paired_interval(
        model, rival, resamples=config.resamples, confidence=config.confidence, seed=config.seed
    )
    base = float(rival.mean())
    return {**vars(interval), "relative": interval.mean / base if base else None}


def _method(trials: Sequence[Trial]) -> dict[str, Any]:
    values: dict[str, Any] = {m: float(np.mean([t.values[m] for t in trials])) for m in METRICS}
    if len(trials) > 1:
        values["ndcg_std"] = float(np.std([t.values["ndcg"] for t in trials], ddof=1))
    values["runs"] = [{"seed": t.seed, "ndcg": t.values["ndcg"]} for t in trials]
    values["cpu_seconds"] = float(np.mean([t.cpu_seconds for t in trials]))
    values["peak_mb"] = float(np.max([t.peak_mb for t in trials]))
    return values
