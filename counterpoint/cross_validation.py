"""Model and baselines on several time windows and seeds: is the advantage there every time?"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from counterpoint import artifacts, columns, evaluation, rolling_windows, tables
from counterpoint.baseline_trials import baseline_trial
from counterpoint.baseline_tuning import Scope
from counterpoint.comparison import MODEL
from counterpoint.config import Config
from counterpoint.histories import order_events
from counterpoint.isolation import isolated
from counterpoint.progress import track
from counterpoint.tables import Tables
from counterpoint.trial_comparison import paired, pooled
from counterpoint.trial_data import TrialData
from counterpoint.trial_store import TrialStore, key
from counterpoint.trials import Trial, model_trial

RESULT, TABLE, TRIALS, WINDOWS = "cross_validation.json", "cross_validation.md", "trials", "windows"


def run(
    settings: Config,
    folder: Path,
    *,
    windows: int,
    seeds: Sequence[int],
    output: Path,
    scope: Scope = "closed_form",
) -> dict[str, Any]:
    """Train and judge every method on every window, the model with every seed.

    Each run is a process of its own and is kept in ``output/trials`` under a hash of configuration
    and data; finished ones are not repeated.

    Args:
        settings: ``features.split`` (fractions, seed of the ties), ``train``, ``evaluate``.
        folder: Canonical tables.
        windows: Number of windows, see ``rolling_windows.cut``.
        seeds: Training seeds of the model.
        output: Folder of the windows, the trials and the result.
        scope: Which baselines are tuned on each window's validation fold.

    Returns:
        JSON-ready, see ``summarise``; written as ``cross_validation.json`` and ``.md``.

    Raises:
        ConfigError: Unknown metric or baseline.
        DataError: Too few events for so many windows.
    """
    evaluation.check(settings.evaluate)
    sources = _write_windows(settings, folder, windows, output / WINDOWS)
    content_sha256 = tables.content_hash(folder)
    store = TrialStore(output / TRIALS)
    methods: list[tuple[str, int | None]] = [(name, None) for name in settings.evaluate.baselines]
    jobs = [
        (number, name, seed)
        for number in range(windows)
        for name, seed in [*methods, *((MODEL, seed) for seed in seeds)]
    ]
    found: list[dict[str, list[Trial]]] = [{} for _ in range(windows)]
    for number, name, seed in track(jobs, "Cross-validate"):
        data, seeded = sources[number], _seeded(settings, seed)
        place = {"window": number, "windows": windows, "scope": scope}
        kept = key(name, data, content_sha256, seeded, **place)
        if seed is None:
            trial = store.obtain(kept, partial(isolated, baseline_trial, name, data, seeded, scope))
        else:
            trial = store.obtain(kept, partial(isolated, model_trial, name, data, seeded))
        found[number].setdefault(name, []).append(trial)
    content = summarise(found, settings) | {
        "content_sha256": content_sha256,
        "seeds": list(seeds),
        "spans": [_span(source) for source in sources],
    }
    tables.write_json(output / RESULT, content)
    (output / TABLE).write_text(markdown(content), "utf-8")
    return content


def summarise(windows: Sequence[Mapping[str, Sequence[Trial]]], settings: Config) -> dict[str, Any]:
    """Put the trials of all windows together.

    Args:
        windows: Per window: method -> its trials, one per seed.
        settings: ``evaluate``: primary metric and bootstrap.

    Returns:
        JSON-ready: ``metric``, ``k``, ``confidence``, ``windows`` (``users``, ``targets``,
        ``methods`` -> mean over the seeds, ``comparisons`` of that window), ``methods`` (name ->
        ``mean`` and ``std`` over the windows, ``seed_std``: mean over the windows of the standard
        deviation over the seeds) and ``comparisons`` (other -> model minus other over all users; a
        user's value is the mean over the windows the user is in).
    """
    config = settings.evaluate
    names = list(windows[0])
    others = [name for name in names if name != MODEL]
    means = {
        name: [float(np.mean([t.primary.mean() for t in w[name]])) for w in windows]
        for name in names
    }

    def against(parts: Sequence[Mapping[str, Sequence[Trial]]]) -> dict[str, Any]:
        values = {name: pooled([part[name] for part in parts]) for name in names}
        rows = paired([(values[MODEL], values[other]) for other in others], config)
        return dict(zip(others, rows, strict=True))

    return {
        "metric": config.metrics[0],
        "k": config.k,
        "confidence": config.confidence,
        "windows": [
            {
                "users": window[MODEL][0].users,
                "targets": window[MODEL][0].targets,
                "methods": {name: means[name][number] for name in names},
                "comparisons": against([window]),
            }
            for number, window in enumerate(windows)
        ],
        "methods": {
            name: {
                "mean": float(np.mean(values)),
                "std": _std(values),
                "seed_std": _mean_std([[t.primary.mean() for t in w[name]] for w in windows]),
            }
            for name, values in means.items()
        },
        "comparisons": against(windows),
    }


def markdown(content: Mapping[str, Any]) -> str:
    """Return one table: a row a method, a column a window, then all of them."""
    windows = content["windows"]
    heads = [f"window {n + 1} ({w['users']} users)" for n, w in enumerate(windows)]
    level = f"{content['confidence']:.0%}"
    lines = [
        f"{content['metric'].upper()}@{content['k']}; differences on the same users, {level} "
        "bootstrap interval over users, p corrected for the number of methods.",
        "",
        f"| method | {' | '.join(heads)} | mean ± std of the windows | model minus method | "
        "corrected p |",
        "| --- |" + " --- |" * (len(heads) + 3),
    ]
    order = sorted(content["methods"], key=lambda name: -content["methods"][name]["mean"])
    for name in order:
        row = content["methods"][name]
        cells = [f"{window['methods'][name]:.4f}" for window in windows]
        spread = "" if row["std"] is None else f" ± {row['std']:.4f}"
        against = ["", ""]
        if name != MODEL:
            found = content["comparisons"][name]
            against = ["too few users", "–"]
            if found["low"] is not None:
                bounds = f"{found['low']:+.4f} to {found['high']:+.4f}"
                against = [f"{found['mean']:+.4f} ({bounds})", f"{found['p_corrected']:.4f}"]
        shown = f"**{name}**" if name == MODEL else name
        columns_ = [shown, *cells, f"{row['mean']:.4f}{spread}", *against]
        lines.append(f"| {' | '.join(columns_)} |")
    return "\n".join([*lines, ""])


def _write_windows(settings: Config, folder: Path, windows: int, output: Path) -> list[TrialData]:
    known = tables.read(folder)
    split = settings.features.split.model_copy(update={"protocol": "global_temporal"})
    ordered = order_events(known.interactions, seed=split.seed)
    sources = []
    for number, interactions in enumerate(rolling_windows.cut(ordered, split, windows=windows)):
        place = output / f"{number + 1}"
        tables.write(Tables(interactions, known.items, known.users), place)
        interactions.write_parquet(place / artifacts.INTERACTIONS)
        sources.append(TrialData(place, split))
    return sources


def _seeded(settings: Config, seed: int | None) -> Config:
    if seed is None:
        return settings
    train = settings.train.model_copy(update={"seed": seed})
    return settings.model_copy(update={"train": train})


def _span(data: TrialData) -> dict[str, str]:
    """First and last instant of the test window."""
    judged = pl.col(columns.FOLD).str.starts_with("test")
    stamps = data.read().interactions.filter(judged)[columns.TIMESTAMP]
    return {"first": str(stamps.min()), "last": str(stamps.max())}


def _std(values: Sequence[float]) -> float | None:
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def _mean_std(seeds: Sequence[Sequence[float]]) -> float | None:
    found = [_std(values) for values in seeds]
    known = [value for value in found if value is not None]
    return float(np.mean(known)) if known else None
