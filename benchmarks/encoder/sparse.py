"""Users of whom little is known: histories cut to their last positives, with and without text."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from counterpoint import evaluation, trial_comparison
from counterpoint.catalogues import on_catalogue
from counterpoint.config import Config, SplitConfig
from counterpoint.histories import Histories, Scorer
from counterpoint.isolation import isolated
from counterpoint.trial_data import TrialData

LENGTHS = (1, 3, 5)
OFF, FROZEN, TRAINED = "no text", "frozen", "trained"


@dataclass(frozen=True)
class Cut:
    """Shows a scorer only the last positives of each history.

    Attributes:
        scorer: Scores what it is shown; the caller still leaves out all that was seen.
        length: Number of positives.
    """

    scorer: Scorer
    length: int

    def score(self, histories: Histories) -> npt.NDArray[np.float32]:
        """(U, N) scores of the cut histories."""
        keep = histories.positive & (histories.ages() < self.length)
        kept = np.concatenate([[0], np.cumsum(keep)])
        return self.scorer.score(
            Histories(
                histories.user_ids,
                kept[histories.indptr],
                histories.items[keep],
                histories.positive[keep],
                histories.timestamps[keep],
                histories.attributes,
            )
        )


def arm(data: TrialData, settings: Config) -> dict[int, dict[str, float]]:
    """Train once; return NDCG@10 of each user for each length."""
    from counterpoint import examples, training

    known = data.read()
    seed = settings.train.seed
    drawn = examples.plain_examples(
        known.interactions, known.users, settings.features.model_copy(update={"seed": seed})
    )
    tables = known.interactions, known.items, known.users
    with tempfile.TemporaryDirectory() as work:
        model = training.fit(*tables, drawn, settings.train, workdir=Path(work))
    task = data.task(known, evaluation.candidates(model.item_ids, known))
    scorer = on_catalogue(model, model.item_ids, task.item_ids)
    found = {}
    for length in LENGTHS:
        judged = evaluation.judge(Cut(scorer, length), task, settings.evaluate)
        values = judged.measured[settings.evaluate.metrics[0]].per_user
        assert values is not None
        found[length] = dict(zip(task.histories.user_ids, map(float, values), strict=True))
    return found


def measure(settings: Config, folder: Path, *, seeds: Sequence[int]) -> dict[str, Any]:
    """Train without text, with the encoder as it is, and with the encoder trained.

    Returns:
        JSON-ready: ``means`` (arm -> length -> NDCG@10) and ``differences`` (arm -> length -> what
        it gains over no text, paired over the users).
    """
    data = TrialData(folder, SplitConfig(protocol="per_user"))
    encoder = settings.train.encoder
    encoders = {
        OFF: encoder.model_copy(update={"model": None, "tune": None}),
        FROZEN: encoder.model_copy(update={"tune": None}),
        TRAINED: encoder,
    }
    values: dict[str, dict[int, dict[str, float]]] = {}
    for name, each in encoders.items():
        runs = []
        for seed in seeds:
            train = settings.train.model_copy(update={"encoder": each, "seed": seed})
            run = partial(isolated, arm, data, settings.model_copy(update={"train": train}))
            runs.append(run())
            shown = ", ".join(f"{n}: {_mean(v):.4f}" for n, v in runs[-1].items())
            print(f"sparse users, seed {seed}, {name}: {shown}", flush=True)
        values[name] = {length: _over_seeds([run[length] for run in runs]) for length in LENGTHS}
    differences = {}
    for name in (FROZEN, TRAINED):
        pairs = [(values[name][length], values[OFF][length]) for length in LENGTHS]
        rows = trial_comparison.paired(pairs, settings.evaluate)
        differences[name] = dict(zip(map(str, LENGTHS), rows, strict=True))
    means = {
        name: {str(length): _mean(found) for length, found in by_length.items()}
        for name, by_length in values.items()
    }
    return {"means": means, "differences": differences}


def _over_seeds(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {user: float(np.mean([run[user] for run in runs])) for user in runs[0]}


def _mean(values: Mapping[str, float]) -> float:
    return float(np.mean(list(values.values())))
