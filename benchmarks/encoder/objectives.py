"""What each loss of the text encoder is worth on its own, judged on withheld items."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.encoder import task as tasks
from counterpoint.config import Config
from counterpoint.config.encoder import TuneConfig
from counterpoint.encoder.tuning import Tuner
from counterpoint.isolation import isolated

PAIRS = {"regression": 0.0, "supervised": 1.0}
ARMS: Mapping[str, Mapping[str, Any]] = {
    "regression": {},
    "pairs": PAIRS,
    "pairs without logQ": PAIRS | {"logq": False},
    "pairs, 2 hard negatives": PAIRS | {"hard_negatives": {"count": 2}},
    "dropout views (SimCSE)": {"regression": 0.0, "unsupervised": 1.0},
    "regression and pairs": {"supervised": 0.1},
    "regression, FGM": {"adversarial": {"method": "fgm"}},
    "regression, tokens hidden": {"token_dropout": 0.2},
    "regression, LoRA in all blocks": {"weights": {"method": "lora", "layers": None}},
}


def arm(settings: Config, folder: Path) -> dict[str, Any]:
    """Train once; return the figures of training."""
    torch.set_num_threads(1)
    trainable, task, _ = tasks.load(settings, folder)
    assert settings.train.encoder.tune is not None
    tuner = Tuner(trainable, task, settings.train.encoder.tune, seed=settings.train.seed)
    found = tuner.fit()
    return found.figures | {"looks": found.curves.look_ndcg}


def measure(
    settings: Config, folder: Path, *, seeds: Sequence[int], arms: Sequence[str] = tuple(ARMS)
) -> dict[str, Any]:
    """Train each arm with each seed (which draws the withheld items, too).

    Returns:
        JSON-ready: ``rows``: arm -> figures of each seed.
    """
    rows: dict[str, list[dict[str, Any]]] = {}
    for name in arms:
        rows[name] = []
        for seed in seeds:
            encoder = settings.train.encoder
            assert encoder.tune is not None
            changed = encoder.tune.model_dump() | dict(ARMS[name])
            encoder = encoder.model_copy(update={"tune": TuneConfig.model_validate(changed)})
            train = settings.train.model_copy(update={"encoder": encoder, "seed": seed})
            run = partial(isolated, arm, settings.model_copy(update={"train": train}), folder)
            rows[name].append(run())
            print(f"{name}, seed {seed}: {rows[name][-1]}", flush=True)
    return {"rows": rows}
