"""What is run, in which order: the trials of one split."""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.quality import ensemble, runs
from counterpoint import baselines, plugins
from counterpoint.baseline_tuning import Scope
from counterpoint.config import Config, SplitConfig
from counterpoint.isolation import isolated
from counterpoint.trial_data import TrialData
from counterpoint.trial_store import TrialStore, key
from counterpoint.trials import Trial

WARM_PROTOCOLS = ("per_user", "global_temporal", "leave_last_out")
PROTOCOLS = (*WARM_PROTOCOLS, "cold_items", "warm_and_cold")
ITEM_SEEDS = (0, 1, 2)
"""Draws of the withheld items; ``cold_items`` reports the mean over them."""


@dataclass(frozen=True)
class Plan:
    """Which methods are run.

    Attributes:
        settings: Configuration of the model; its ``evaluate.metrics`` are the benchmark's.
        content_sha256: Of the tables.
        store: Where finished trials are kept.
        baselines: Plugins; the classical ensemble is run where its members are among them.
        tune: Which baselines are tuned on validation.
        seeds: Training seeds of the model; none: baselines alone.
        demo: Configuration with the smaller budget of the demo, measured beside the model.
    """

    settings: Config
    content_sha256: str
    store: TrialStore
    baselines: Sequence[str]
    tune: Scope
    seeds: Sequence[int]
    demo: Config | None = None

    def trials(self, data: TrialData) -> Iterator[Trial]:
        """Run everything on one split, cheap methods first."""
        options: dict[str, dict[str, Any]] = {}
        for name in self._peers(data.split.protocol):
            trial = self._obtain(name, data, self.settings, runs.baseline, name, self.tune)
            options[name] = trial.report["options"]
            yield trial
        if all(name in options for name in ensemble.MEMBERS):
            members = {name: options[name] for name in ensemble.MEMBERS}
            yield self._obtain(ensemble.NAME, data, self.settings, runs.classical_ensemble, members)
        demo = self.demo if data.split.protocol in WARM_PROTOCOLS else None
        for method, settings in ((runs.MODEL, self.settings), (runs.DEMO, demo)):
            if settings is not None:
                for seed in self.seeds:
                    train = settings.train.model_copy(update={"seed": seed})
                    seeded = settings.model_copy(update={"train": train})
                    yield self._obtain(method, data, seeded, runs.model, method)

    def _peers(self, protocol: str) -> list[str]:
        """The baselines that have something to say: most cannot score items nobody touched."""
        if protocol == "cold_items":
            return [n for n in self.baselines if n == "popularity" or baselines.reads_text(n)]
        if protocol == "warm_and_cold":
            return [n for n in self.baselines if not baselines.is_trained(n)]
        return list(self.baselines)

    def _obtain(
        self,
        method: str,
        data: TrialData,
        settings: Config,
        run: Callable[..., Trial],
        *arguments: Any,
    ) -> Trial:
        name = key(method, data, self.content_sha256, settings, arguments=arguments)
        kept = self.store.has(name)
        trial = self.store.obtain(name, lambda: isolated(run, *arguments, data, settings))
        _tell(data, trial, kept)
        return trial


def splits(protocol: str, split_seed: int) -> list[SplitConfig]:
    """The splits whose results are pooled under one protocol."""
    item_seeds = ITEM_SEEDS if protocol == "cold_items" else ITEM_SEEDS[:1]
    return [
        SplitConfig.model_validate(
            {"protocol": protocol, "seed": split_seed, "item_seed": item_seed}
        )
        for item_seed in item_seeds
    ]


def known_baselines() -> list[str]:
    """Every plugin of counterpoint/baselines."""
    return plugins.names("counterpoint.baselines")


def _tell(data: TrialData, trial: Trial, kept: bool) -> None:
    seed = "" if trial.seed is None else f" seed {trial.seed}"
    print(
        f"{data.split.protocol} {trial.method}{seed}: NDCG@10 {trial.values['ndcg']:.4f}, "
        f"{trial.cpu_seconds:.1f} CPU s, peak {trial.peak_mb:.0f} MB{' (kept)' if kept else ''}",
        file=sys.stderr,
        flush=True,
    )
