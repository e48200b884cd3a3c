"""The text encoder of a training run: as it is, or trained on the interactions first.

A trained encoder is kept in ``train.encoder.cache`` under a key of everything it depends on, so an
equal run (a resumed one, another seed of the towers) does not train it again.
"""

import hashlib
import logging
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
import torch

from counterpoint import columns, splits, tables
from counterpoint.cold import attribute_vocabulary, item_features
from counterpoint.config.train import ColdConfig, TrainConfig
from counterpoint.encoder import TextEncoder, cold_probe, saved, score_columns
from counterpoint.encoder.cold_probe import ColdProbe
from counterpoint.encoder.loading import load_backbone, weights_hash
from counterpoint.encoder.regression import RegressionTask
from counterpoint.encoder.score_columns import ScoreColumns
from counterpoint.encoder.tokens import tokenise
from counterpoint.encoder.trainable import choose
from counterpoint.encoder.tuning import Tuner
from counterpoint.encoder.tuning_objectives import Task
from counterpoint.histories import from_events

logger = logging.getLogger(__name__)

REPORT: Final = "tuning.json"
KEPT: Final = 3
"""Trained encoders that stay in the cache, the newest."""


@dataclass(frozen=True)
class Obtained:
    """The encoder of a training run.

    Attributes:
        encoder: Encodes.
        trained: Its weights are not those that the configuration names.
        report: What training did, for model.json; empty where there was none.
    """

    encoder: TextEncoder
    trained: bool
    report: dict[str, Any]


def obtain(
    rows: pl.DataFrame,
    texts: Sequence[str],
    interactions: pl.DataFrame,
    config: TrainConfig,
    *,
    workdir: Path,
) -> Obtained:
    """Load the encoder; train it if ``train.encoder.tune`` says so and it pays.

    Only events of the train fold are learned from: the settings of everything else are chosen on
    the validation fold, for which the encoder must not have seen it.

    Args:
        rows: (N,) canonical items in index order.
        texts: N texts.
        interactions: Ordered interactions with ``fold``.
        config: Encoder, cold settings and seed.
        workdir: Folder of the checkpoints.
    """
    plain = config.encoder.model_copy(update={"tune": None})
    if config.encoder.tune is None:
        return Obtained(TextEncoder(plain), False, {})
    tower, tokenizer = load_backbone(config.encoder)
    events = splits.fit_events(interactions, "choose")
    key = _key(weights_hash(tower), texts, rows, events, config)
    folder = Path(config.encoder.cache) / "trained" / key
    if not (folder / REPORT).is_file():
        distinct = sorted({text for text in texts if text})
        if len(distinct) < 2:
            logger.warning(
                "The text encoder is not trained: the items have %d different text%s, and training "
                "needs at least 2",
                *(len(distinct), "" if len(distinct) == 1 else "s"),
            )
            return Obtained(TextEncoder(plain), False, {"why": "fewer than 2 different texts"})
        task = task_of(rows, texts, distinct, events, tokenizer, config)
        trainable = choose(tower, config.encoder.tune.weights)
        found = Tuner(trainable, task, config.encoder.tune, seed=config.seed).fit(workdir / key)
        report = {"pays": found.pays, "why": found.why, **found.figures}
        report["curves"] = asdict(found.curves)
        _keep(folder, report, trainable.merge(), tokenizer)
        shutil.rmtree(workdir / key, ignore_errors=True)
    else:
        logger.info("The text encoder was trained on the same before: %s is used", folder)
        os.utime(folder)
    report = tables.read_json(folder / REPORT)
    logger.info("Text encoder: %s", report["why"])
    if not report["pays"]:
        return Obtained(TextEncoder(plain), False, report)
    trained = plain.model_copy(update={"model": str(folder), "weights_sha256": None})
    return Obtained(TextEncoder(trained), True, report)


def task_of(
    rows: pl.DataFrame,
    texts: Sequence[str],
    distinct: Sequence[str],
    events: pl.DataFrame,
    tokenizer: Any,
    config: TrainConfig,
) -> Task:
    """Return what an encoder is trained on.

    Args:
        rows: (N,) canonical items in index order.
        texts: N texts.
        distinct: The different ones, without the empty one.
        events: Ordered interactions that may be learned from.
        tokenizer: Of the encoder.
        config: With ``encoder.tune``.
    """
    assert config.encoder.tune is not None
    place = {text: row for row, text in enumerate(distinct)}
    row = np.array([place.get(text, -1) for text in texts], dtype=np.int64)
    index = {item: number for number, item in enumerate(rows[columns.ITEM])}
    users = events[columns.USER].unique().sort().to_list()
    histories = from_events(events, index, user_ids=users)
    liked = histories.matrix(len(rows), positive_only=True)
    popularity = np.asarray(liked.sum(0), dtype=np.float32).ravel()
    withheld = cold_probe.withhold(
        popularity, row >= 0, share=config.encoder.tune.withheld, seed=config.seed
    )
    # Items of one text stand or fall together, or the withheld ones would be known by another name.
    withheld = np.isin(row, row[withheld]) & (row >= 0)
    tokens = [list(found or ()) for found in rows[columns.ATTRIBUTES].to_list()]
    vocabulary = attribute_vocabulary(tokens, max_tokens=config.cold.max_attributes)
    table = tokenise(distinct, tokenizer, max_tokens=config.encoder.max_tokens)
    given = tokens, vocabulary, config.cold
    probe: ColdProbe | None = None
    found = score_columns.solve(liked, withheld)
    if found is not None:
        probe = cold_probe.build(found, liked, withheld, *given, seed=config.seed)
    if probe is None:
        withheld = np.zeros_like(withheld)
        found = score_columns.solve(liked, withheld)
    regression = _regression(found, row, *given, seed=config.seed) if found else None
    return Task(table, row, histories, withheld, probe, regression)


def _regression(
    columns: ScoreColumns,
    row: npt.NDArray[np.int64],
    tokens: list[list[str]],
    vocabulary: list[str],
    config: ColdConfig,
    *,
    seed: int,
) -> RegressionTask | None:
    told = row[columns.items] >= 0
    items = columns.items[told]
    if len(items) < 4:
        return None
    scores = columns.of(columns.active(seed=seed))[:, told]
    none = np.zeros((len(items), 0), dtype=np.float32)
    attributes = item_features(none, [tokens[item] for item in items], vocabulary, config)
    return RegressionTask(
        row[items],
        torch.from_numpy(np.ascontiguousarray(scores.T)),
        torch.from_numpy(attributes),
        config.ridge,
    )


def _key(
    weights: str,
    texts: Sequence[str],
    rows: pl.DataFrame,
    events: pl.DataFrame,
    config: TrainConfig,
) -> str:
    tune = config.encoder.tune
    assert tune is not None
    # Where it runs and how often it saves changes nothing of what comes out.
    plain = config.encoder.model_copy(
        update={
            "cache": "",
            "batch_size": 1,
            "tune": tune.model_copy(
                update={"device": "auto", "checkpoint_steps": 1, "hidden_mb": 0, "activation_mb": 0}
            ),
        }
    )
    digest = hashlib.sha256(f"{weights}{config.seed}".encode())
    for section in (plain, config.cold):
        digest.update(section.model_dump_json().encode())
    digest.update("\0".join(texts).encode())
    digest.update(repr(rows[columns.ATTRIBUTES].to_list()).encode())
    kept = events.select(columns.USER, columns.ITEM, columns.TIMESTAMP, columns.POSITIVE)
    digest.update(kept.hash_rows(seed=0).to_numpy().tobytes())
    return digest.hexdigest()[:16]


def _keep(folder: Path, report: dict[str, Any], tower: Any, tokenizer: Any) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".making-"))
    try:
        if report["pays"]:
            saved.save(tower, tokenizer, made)
        tables.write_json(made / REPORT, report)
        shutil.rmtree(folder, ignore_errors=True)
        made.rename(folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    kept = sorted(
        (path for path in folder.parent.iterdir() if not path.name.startswith(".")),
        key=lambda path: path.stat().st_mtime,
    )
    for old in kept[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)
