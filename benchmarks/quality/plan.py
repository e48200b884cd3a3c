"""What is run, in which order: the trials of one protocol and split."""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.quality import ensemble, runs
from counterpoint import plugins
from counterpoint.config import Config
from counterpoint.isolation import isolated
from counterpoint.trial_data import TrialData
from counterpoint.trial_store import TrialStore, key
from counterpoint.trials import Trial


@dataclass(frozen=True)
class Plan:
    """Which methods are run.

    Attributes:
        settings: Configuration of the model; its ``evaluate.metrics`` are the benchmark's.
        content_sha256: Of the tables.
        store: Where finished trials are kept.
        baselines: Plugins; the classical ensemble is run where its members are among them.
        seeds: Training seeds of the model; none: baselines alone.
        demo: Configuration with the smaller budget of the demo, measured beside the model.
    """

    settings: Config
    content_sha256: str
    store: TrialStore
    baselines: Sequence[str]
    seeds: Sequence[int]
    demo: Config | None = None

    def trials(self, data: TrialData) -> Iterator[Trial]:
        """Run everything on one split, cheap methods first."""
        options: dict[str, dict[str, Any]] = {}
        for name in self.baselines:
            trial = self._obtain(name, data, self.settings, runs.baseline, name)
            options[name] = trial.report["options"]
            yield trial
        if all(name in options for name in ensemble.MEMBERS):
            members = {name: options[name] for name in ensemble.MEMBERS}
            yield self._obtain(ensemble.NAME, data, self.settings, runs.classical_ensemble, members)
        for method, settings in ((runs.MODEL, self.settings), (runs.DEMO, self.demo)):
            for seed in self.seeds if settings else ():
                seeded = _seeded(settings, seed)
                yield self._obtain(method, data, seeded, runs.model, method)

    def _obtain(
        self,
        method: str,
        data: TrialData,
        settings: Config,
        run: Callable[[Any, TrialData, Config], Trial],
        first: Any,
    ) -> Trial:
        name = key(method, data, self.content_sha256, settings, options=first)
        kept = self.store.has(name)
        trial = self.store.obtain(name, lambda: isolated(run, first, data, settings))
        _tell(data, trial, kept)
        return trial


def known_baselines() -> list[str]:
    """Every plugin of counterpoint/baselines."""
    return plugins.names("counterpoint.baselines")


def _seeded(settings: Config | None, seed: int) -> Config:
    assert settings is not None, "the caller has looked"
    train = settings.train.model_copy(update={"seed": seed})
    return settings.model_copy(update={"train": train})


def _tell(data: TrialData, trial: Trial, kept: bool) -> None:
    seed = "" if trial.seed is None else f" seed {trial.seed}"
    print(
        f"{data.split.protocol} {trial.method}{seed}: NDCG@10 {trial.values['ndcg']:.4f}, "
        f"{trial.cpu_seconds:.1f} CPU s, peak {trial.peak_mb:.0f} MB{' (kept)' if kept else ''}",
        file=sys.stderr,
        flush=True,
    )
