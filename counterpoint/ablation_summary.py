"""The runs of an ablation as one table: means, differences to the default, cost."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from counterpoint.ablation_variants import DEFAULT, Variant
from counterpoint.config import EvaluateConfig
from counterpoint.trial_comparison import paired, pooled
from counterpoint.trials import Trial

NO_PAIR = "no common seed with the default"
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
    being the mean over the seeds that both have. Its interval stands for itself; the verdict also
    asks for a p-value that stands the correction for the number of variants.

    Args:
        protocol: Name of the split.
        variants: Rows.
        cells: Finished runs.
        config: Resampling, confidence, and the primary metric.

    Returns:
        ``protocol``, ``users``, ``targets`` and ``rows``: name, part, overrides, seeds, mean, std
        (over seeds), difference (``trial_comparison.paired``; None for the
        default), verdict,
        cpu_seconds, peak_mb, values (all metrics), choices (per seed), failures.
    """
    done = [cell.result for cell in cells if isinstance(cell.result, Trial)]
    rows = [
        _row(variant, cells)
        for variant in variants
        if any(cell.variant == variant.name for cell in cells)
    ]
    _compare(rows, cells, config)
    return {
        "protocol": protocol,
        "users": done[0].users if done else 0,
        "targets": done[0].targets if done else 0,
        "rows": rows,
    }


def _row(variant: Variant, cells: Sequence[Cell]) -> dict[str, Any]:
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
    row["verdict"] = "default" if variant.name == DEFAULT else NO_PAIR
    return row


def _compare(rows: list[dict[str, Any]], cells: Sequence[Cell], config: EvaluateConfig) -> None:
    """Add difference and verdict; variants with the same seeds are corrected together."""
    base = _trials(DEFAULT, cells)
    families: dict[tuple[int, ...], list[dict[str, Any]]] = {}
    for row in rows:
        both = tuple(sorted(set(row["seeds"]) & set(base)))
        if row["name"] != DEFAULT and both:
            families.setdefault(both, []).append(row)
    for seeds, family in families.items():
        default = pooled([[base[seed] for seed in seeds]])
        runs = [_trials(row["name"], cells) for row in family]
        pairs = [(pooled([[own[seed] for seed in seeds]]), default) for own in runs]
        for row, difference in zip(family, paired(pairs, config), strict=True):
            row["difference"] = difference
            row["verdict"] = _verdict(difference, alpha=1 - config.confidence)


def _trials(name: str, cells: Sequence[Cell]) -> dict[int, Trial]:
    return {c.seed: c.result for c in cells if c.variant == name and isinstance(c.result, Trial)}


def _verdict(difference: dict[str, Any], *, alpha: float) -> str:
    """What may be said."""
    if difference["low"] is None:
        return "too few users"
    if difference["low"] <= 0 <= difference["high"] or difference["p_corrected"] > alpha:
        return "no clear difference"
    return "better" if difference["mean"] > 0 else "worse"
