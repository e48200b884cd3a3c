"""The runs of an ablation as one table: means, differences to the default, cost."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from counterpoint.ablation_variants import DEFAULT, Variant
from counterpoint.bootstrap import paired_interval
from counterpoint.config import EvaluateConfig
from counterpoint.trials import Trial

PARTS_OF_REPORT = ("choices", "validation")


@dataclass(frozen=True)
class Cell:
    """One training run.

    Attributes:
        variant: Name.
        seed: Of the training.
        result: The trial, or why there is none.
    """

    variant: str
    seed: int
    result: Trial | str


def summarise(
    protocol: str,
    variants: Sequence[Variant],
    cells: Sequence[Cell],
    config: EvaluateConfig,
) -> dict[str, Any]:
    """Return the table of one protocol.

    The difference of a variant is the mean over users of (variant - default), each user's value
    being the mean over the seeds that both have.

    Args:
        protocol: Name of the split.
        variants: Rows.
        cells: Finished runs.
        config: Resampling, confidence, and the primary metric.

    Returns:
        ``protocol``, ``users``, ``targets`` and ``rows``: name, part, overrides, seeds, mean, std
        (over seeds), difference (interval and relative; None for the default), verdict,
        cpu_seconds, peak_mb, values (all metrics), choices (per seed), failures.
    """
    done = [cell.result for cell in cells if isinstance(cell.result, Trial)]
    return {
        "protocol": protocol,
        "users": done[0].users if done else 0,
        "targets": done[0].targets if done else 0,
        "rows": [
            _row(variant, cells, config)
            for variant in variants
            if any(cell.variant == variant.name for cell in cells)
        ],
    }


def _row(variant: Variant, cells: Sequence[Cell], config: EvaluateConfig) -> dict[str, Any]:
    trials = _trials(variant.name, cells)
    row: dict[str, Any] = {
        "name": variant.name,
        "part": variant.part,
        "overrides": dict(variant.overrides),
        "seeds": sorted(trials),
        "failures": {
            c.seed: c.result
            for c in cells
            if c.variant == variant.name and isinstance(c.result, str)
        },
        "mean": None,
        "std": None,
        "difference": None,
        "verdict": "failed",
    }
    if not trials:
        return row
    found = list(trials.values())
    primary = [float(np.nanmean(trial.primary)) for trial in found]
    row["mean"] = float(np.mean(primary))
    row["std"] = float(np.std(primary, ddof=1)) if len(primary) > 1 else None
    row["values"] = {n: float(np.mean([t.values[n] for t in found])) for n in found[0].values}
    row["cpu_seconds"] = float(np.mean([trial.cpu_seconds for trial in found]))
    row["peak_mb"] = float(np.max([trial.peak_mb for trial in found]))
    row["choices"] = {
        seed: {part: trial.report[part] for part in PARTS_OF_REPORT if part in trial.report}
        for seed, trial in trials.items()
    }
    row["verdict"] = "default"
    if variant.name != DEFAULT:
        row["difference"] = _difference(trials, _trials(DEFAULT, cells), config)
        row["verdict"] = _verdict(row["difference"])
    return row


def _trials(name: str, cells: Sequence[Cell]) -> dict[int, Trial]:
    return {c.seed: c.result for c in cells if c.variant == name and isinstance(c.result, Trial)}


def _difference(
    variant: dict[int, Trial], default: dict[int, Trial], config: EvaluateConfig
) -> dict[str, Any] | None:
    both = sorted(set(variant) & set(default))
    if not both:
        return None
    ours, theirs = (_mean([runs[seed] for seed in both]) for runs in (variant, default))
    interval = paired_interval(
        ours,
        theirs,
        resamples=config.resamples,
        confidence=config.confidence,
        seed=config.seed,
    )
    base = float(np.nanmean(theirs))
    return {**vars(interval), "relative": interval.mean / base if base else None}


def _mean(trials: Sequence[Trial]) -> npt.NDArray[np.float64]:
    return np.asarray(np.mean([trial.primary for trial in trials], axis=0), dtype=np.float64)


def _verdict(difference: dict[str, Any] | None) -> str:
    """What may be said: only an interval without 0 is a difference."""
    if difference is None:
        return "no common seed with the default"
    if difference["low"] > 0:
        return "better"
    return "worse" if difference["high"] < 0 else "no clear difference"
