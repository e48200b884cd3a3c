"""The trials of one protocol as JSON: means, spread, cost and paired differences."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.quality import ensemble
from benchmarks.quality.runs import DEMO, METRICS, MODEL
from counterpoint.config import EvaluateConfig
from counterpoint.trial_comparison import paired, pooled
from counterpoint.trials import MIXED, Trial

RIVALS = ("ease", "ials", "slist", "edlae_recency", ensemble.NAME)
"""Peers the model is compared with, beside the best one of the run."""


def summarise(parts: Sequence[Sequence[Trial]], **facts: Any) -> dict[str, Any]:
    """Mean, spread and cost of each method, and the model's paired advantage over the rivals.

    Args:
        parts: The trials of each split that is pooled, usually one; all with the same methods.
        facts: Protocol and split, kept as they are.
    """
    names = list(dict.fromkeys(trial.method for trial in parts[0]))
    methods = {n: [[t for t in part if t.method == n] for part in parts] for n in names}
    result: dict[str, Any] = {
        **facts,
        "users": [part[0].users for part in parts],
        "targets": [part[0].targets for part in parts],
        "methods": {name: _method(found) for name, found in methods.items()},
        "best_peer": None,
        "advantage": {},
        "choices": [
            {"method": t.method, "seed": t.seed, "split": place, "report": t.report}
            for place, part in enumerate(parts)
            for t in part
            if t.report
        ],
    }
    peers = [name for name in names if name not in (MODEL, DEMO)]
    if peers:
        result["best_peer"] = max(peers, key=lambda peer: result["methods"][peer]["ndcg"])
    if MODEL in methods and peers:
        rivals = list(dict.fromkeys([*(r for r in RIVALS if r in peers), result["best_peer"]]))
        own = pooled(methods[MODEL])
        pairs = [(own, pooled(methods[rival])) for rival in rivals]
        found = paired(pairs, EvaluateConfig())
        result["advantage"] = dict(zip(rivals, found, strict=True))
    return result


def _method(parts: Sequence[Sequence[Trial]]) -> dict[str, Any]:
    """One row: means over the splits and the seeds; spread over the seeds."""
    flat = [trial for part in parts for trial in part]
    values: dict[str, Any] = {
        metric: float(np.mean([trial.values[metric] for trial in flat])) for metric in METRICS
    }
    values["by_split"] = [float(np.mean([t.values["ndcg"] for t in part])) for part in parts]
    by_seed = [
        float(np.mean([part[place].values["ndcg"] for part in parts]))
        for place in range(len(parts[0]))
    ]
    values["by_seed"] = by_seed
    values["ndcg_std"] = float(np.std(by_seed, ddof=1)) if len(by_seed) > 1 else None
    values["cpu_seconds"] = float(np.mean([trial.cpu_seconds for trial in flat]))
    values["peak_mb"] = float(np.max([trial.peak_mb for trial in flat]))
    for part in ("choose", "final"):
        name = f"{part}_cpu_seconds"
        spent = [trial.report[name] for trial in flat if name in trial.report]
        values[name] = float(np.max(spent)) if spent else None
    mixed = [trial.report[MIXED] for trial in flat if trial.report.get(MIXED)]
    if mixed:
        values[MIXED] = {
            "warm": _mean([m["warm"]["mean"] for m in mixed]),
            "cold": _mean([m["cold"]["mean"] for m in mixed]),
            "cold_recommended": _mean([m["cold_recommended"] for m in mixed]),
            "warm_loss": _mean([m["warm_loss"]["relative"] for m in mixed]),
        }
    return values


def _mean(values: Sequence[float | None]) -> float | None:
    """Mean of the runs that have a value; None if none has."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
