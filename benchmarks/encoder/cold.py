"""New items ranked by the recommender: the encoder as it is, trained, pre-trained, in bfloat16."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from counterpoint import trial_comparison
from counterpoint.config import Config, SplitConfig
from counterpoint.config.pretrain import PretrainConfig
from counterpoint.isolation import isolated
from counterpoint.trial_data import TrialData
from counterpoint.trial_store import TrialStore, key
from counterpoint.trials import Trial, model_trial

ITEM_SPLITS = (0, 1, 2)
FROZEN, TRAINED, PRETRAINED = "frozen", "trained", "pre-trained, then trained"
FLOAT32, BFLOAT16 = "frozen, in float32", "frozen, in bfloat16"


def trained_or_not(settings: Config) -> dict[str, Config]:
    """Return the arms that show what training gains."""
    return {FROZEN: _with(settings, tune=None), TRAINED: settings}


def pretrained_or_not(settings: Config) -> dict[str, Config]:
    """Return the arms that show what masked training before it gains."""
    return {TRAINED: settings, PRETRAINED: _with(settings, pretrain=PretrainConfig())}


def exact_or_not(settings: Config) -> dict[str, Config]:
    """Return the arms that show what encoding in bfloat16 costs."""
    return {
        FLOAT32: _with(settings, tune=None, precision="float32"),
        BFLOAT16: _with(settings, tune=None, precision="bfloat16"),
    }


def measure(
    arms: Mapping[str, Config],
    folder: Path,
    digest: str,
    store: TrialStore,
    *,
    seeds: Sequence[int],
    splits: Sequence[int] = ITEM_SPLITS,
) -> dict[str, Any]:
    """Train and judge two arms on each draw of withheld items.

    Args:
        arms: Name -> settings; what the second gains over the first is asked.
        folder: Canonical tables.
        digest: Of their content.
        store: Where finished trials are kept.
        seeds: Of training.
        splits: Draws of the withheld items.

    Returns:
        JSON-ready: ``arms`` (both names), ``splits`` (NDCG@10 of each arm and split), ``means``,
        ``difference`` (second minus first, paired over the users, all splits pooled),
        ``cpu_seconds``, ``why`` (the second was used or not).
    """
    first, second = arms
    trials: dict[str, list[list[Trial]]] = {name: [] for name in arms}
    for item_seed in splits:
        split = SplitConfig.model_validate({"protocol": "cold_items", "item_seed": item_seed})
        data = TrialData(folder, split)
        for name, config in arms.items():
            found = []
            for seed in seeds:
                train = config.train.model_copy(update={"seed": seed})
                seeded = config.model_copy(update={"train": train})
                place = key(f"encoder {name}", data, digest, seeded)
                run = partial(isolated, model_trial, name, data, seeded)
                found.append(store.obtain(place, run))
                print(f"split {item_seed} seed {seed} {name}: {found[-1].values['ndcg']:.4f}")
            trials[name].append(found)
    pooled = {name: trial_comparison.pooled(parts) for name, parts in trials.items()}
    (difference,) = trial_comparison.paired([(pooled[second], pooled[first])], arms[first].evaluate)
    by_split = {
        name: [_mean([t.values["ndcg"] for t in part]) for part in parts]
        for name, parts in trials.items()
    }
    return {
        "arms": [first, second],
        "splits": by_split,
        "means": {name: _mean(values) for name, values in by_split.items()},
        "difference": difference,
        "cpu_seconds": {
            name: _mean([t.cpu_seconds for part in parts for t in part])
            for name, parts in trials.items()
        },
        "peak_mb": {
            name: max(t.peak_mb for part in parts for t in part) for name, parts in trials.items()
        },
        "why": [t.report.get("encoder", {}).get("why") for p in trials[second] for t in p],
    }


def _with(settings: Config, **changed: Any) -> Config:
    encoder = settings.train.encoder.model_copy(update=changed)
    train = settings.train.model_copy(update={"encoder": encoder})
    return settings.model_copy(update={"train": train})


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
