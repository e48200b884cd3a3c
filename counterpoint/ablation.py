"""Ablation: variants of one configuration trained and judged side by side.

Every variant differs from the default in one part (ablation_variants.py), is trained with the same
seeds on the same events, and is compared with the default user by user.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from counterpoint import ablation_report, tables
from counterpoint.ablation_summary import Cell, summarise
from counterpoint.ablation_variants import DEFAULT, Variant
from counterpoint.config import Config
from counterpoint.errors import CounterpointError
from counterpoint.isolation import isolated
from counterpoint.progress import track
from counterpoint.trial_data import TrialData
from counterpoint.trial_store import TrialStore, key
from counterpoint.trials import Trial, model_trial

logger = logging.getLogger(__name__)

TRIALS = "trials"
RESULT, TABLE, PAGE = "ablation.json", "ablation.md", "ablation.html"


@dataclass(frozen=True)
class _Job:
    """One training run of the grid."""

    variant: Variant
    protocol: str
    seed: int
    settings: Config
    key: str


def run(
    settings: Config,
    variants: Sequence[Variant],
    data: Mapping[str, TrialData],
    *,
    content_sha256: str,
    seeds: Sequence[int],
    output: Path,
    budget_seconds: float | None = None,
) -> dict[str, Any]:
    """Train and judge the grid, each run in a process of its own.

    Finished runs are kept in ``output/trials`` under a hash of configuration and data, and are not
    repeated. The grid is walked seed by seed, so that a budget that runs out leaves all variants
    with the same number of seeds, one more or less.

    Args:
        settings: The default; ``evaluate.metrics`` are measured, the first is compared.
        variants: Rows of the table; the one called ``default`` is what the others are compared to.
        data: Protocol -> what to learn from and to be judged on.
        content_sha256: Of the tables.
        seeds: Training seeds.
        output: Folder of the trials and of ``ablation.json``, ``.md`` and ``.html``.
        budget_seconds: CPU seconds of training after which no further run is started; what was
            kept from earlier costs nothing.

    Returns:
        JSON-ready, see ``ablation_summary.summarise``.

    Raises:
        ConfigError: A variant does not fit the configuration.
    """
    jobs = _jobs(settings, variants, data, content_sha256, seeds)
    store = TrialStore(output / TRIALS)
    cells: dict[str, list[Cell]] = {protocol: [] for protocol in data}
    spent, skipped = 0.0, 0
    for job in track(jobs, "Ablate"):
        fresh = not store.has(job.key)
        if fresh and budget_seconds is not None and spent >= budget_seconds:
            skipped += 1
            continue
        result = _train(job, data[job.protocol], store)
        if fresh and isinstance(result, Trial):
            spent += result.cpu_seconds
        cells[job.protocol].append(Cell(job.variant.name, job.seed, result))
    if skipped:
        logger.warning("The budget left out %d of %d runs.", skipped, len(jobs))
    content = {
        "fold": next(iter(data.values())).fold,
        "metric": settings.evaluate.metrics[0],
        "k": settings.evaluate.k,
        "seeds": list(seeds),
        "confidence": settings.evaluate.confidence,
        "intervals": "paired bootstrap intervals",
        "content_sha256": content_sha256,
        "skipped": skipped,
        "protocols": [
            summarise(protocol, variants, found, settings.evaluate)
            for protocol, found in cells.items()
        ],
    }
    tables.write_json(output / RESULT, content)
    (output / TABLE).write_text(ablation_report.markdown(content), "utf-8")
    (output / PAGE).write_text(ablation_report.page(content), "utf-8")
    return content


def _jobs(
    settings: Config,
    variants: Sequence[Variant],
    data: Mapping[str, TrialData],
    content_sha256: str,
    seeds: Sequence[int],
) -> list[_Job]:
    ordered = sorted(variants, key=lambda variant: variant.name != DEFAULT)
    configs = {variant.name: variant.apply(settings) for variant in ordered}
    jobs = []
    for seed in seeds:
        for protocol, source in data.items():
            for variant in ordered:
                if variant.protocols and protocol not in variant.protocols:
                    continue
                config = configs[variant.name]
                train = config.train.model_copy(update={"seed": seed})
                seeded = config.model_copy(update={"train": train})
                name = key("model", source, content_sha256, seeded)
                jobs.append(_Job(variant, protocol, seed, seeded, name))
    return jobs


def _train(job: _Job, data: TrialData, store: TrialStore) -> Trial | str:
    """The trial, or the reason why there is none: one variant that fails leaves the others be."""
    name = job.variant.name
    try:
        trial = store.obtain(job.key, lambda: isolated(model_trial, name, data, job.settings))
    except CounterpointError as error:
        logger.warning("%s, %s, seed %d failed: %s", job.protocol, name, job.seed, error)
        return str(error)
    logger.info(
        "%s, %s, seed %d: %.4f, %.1f CPU s",
        job.protocol, name, job.seed, float(np.nanmean(trial.primary)), trial.cpu_seconds,
    )  # fmt: skip
    return trial
