"""All that training a text encoder depends on, as one thing that other processes can be handed."""

import hashlib
import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
import torch

from counterpoint import columns, tables
from counterpoint.cold import attribute_vocabulary, item_features
from counterpoint.config.train import ColdConfig, TrainConfig
from counterpoint.devices import resolve_device
from counterpoint.encoder import cold_probe, ranks, saved, score_columns
from counterpoint.encoder.cold_probe import ColdProbe
from counterpoint.encoder.item_texts import ItemTexts
from counterpoint.encoder.loading import load_backbone
from counterpoint.encoder.ranks import ALONE, Ranks
from counterpoint.encoder.regression import RegressionTask
from counterpoint.encoder.score_columns import ScoreColumns
from counterpoint.encoder.tokens import tokenise
from counterpoint.encoder.trainable import choose
from counterpoint.encoder.tuning import Tuner
from counterpoint.encoder.tuning_objectives import Task
from counterpoint.histories import from_events

REPORT: Final = "tuning.json"
ROWS, EVENTS, TEXTS, REST = "rows.parquet", "events.parquet", "texts.parquet", "job.json"
TEXT_ROW: Final = "text_row"
"""Column of ``ROWS``: place of an item's text in ``TEXTS``."""

WORKER: Final = "counterpoint.encoder.launch"
"""Module that trains a saved job as one of several processes."""


@dataclass(frozen=True)
class Job:
    """What an encoder is trained on, and how.

    Attributes:
        rows: (N,) canonical items in index order.
        texts: Their texts.
        events: Ordered interactions that may be learned from.
        config: With ``encoder.tune``; ``cold`` and ``seed`` count too.
    """

    rows: pl.DataFrame
    texts: ItemTexts
    events: pl.DataFrame
    config: TrainConfig

    def key(self, weights_sha256: str) -> str:
        """Name everything that the result depends on, but for the code.

        Args:
            weights_sha256: Of the encoder before training.
        """
        tune = self.config.encoder.tune
        assert tune is not None
        # Where it runs and how often it saves changes nothing of what comes out.
        plain = self.config.encoder.model_copy(
            update={
                "cache": "",
                "batch_size": 1,
                "device": "auto",
                "precision": "auto",
                "tune": tune.model_copy(
                    update={
                        "device": "auto",
                        "processes": 1,
                        "shard_weights": False,
                        "trainjob": None,
                        "checkpoint_steps": 1,
                        "hidden_mb": 0,
                        "activation_mb": 0,
                    }
                ),
            }
        )
        digest = hashlib.sha256(f"{weights_sha256}{self.config.seed}".encode())
        for section in (plain, self.config.cold):
            digest.update(section.model_dump_json().encode())
        digest.update("\0".join(self.texts.distinct).encode())
        digest.update(self.texts.row.tobytes())
        digest.update(repr(self.rows[columns.ATTRIBUTES].to_list()).encode())
        kept = self.events.select(columns.USER, columns.ITEM, columns.TIMESTAMP, columns.POSITIVE)
        digest.update(kept.hash_rows(seed=0).to_numpy().tobytes())
        return digest.hexdigest()[:16]

    def save(self, folder: Path) -> None:
        """Write it for other processes."""
        folder.mkdir(parents=True, exist_ok=True)
        placed = self.rows.with_columns(pl.Series(TEXT_ROW, self.texts.row))
        placed.write_parquet(folder / ROWS)
        self.events.write_parquet(folder / EVENTS)
        self.texts.save(folder / TEXTS)
        tables.write_json(folder / REST, self.config.model_dump(mode="json"))

    @classmethod
    def read(cls, folder: Path, group: Ranks = ALONE) -> "Job":
        """Read what ``save`` wrote.

        Args:
            folder: Where.
            group: Of several processes each reads only the texts that it will encode. All read the
                items and the interactions, from which all draw the same steps.
        """
        rows = pl.read_parquet(folder / ROWS)
        return cls(
            rows.drop(TEXT_ROW),
            ItemTexts.read(folder / TEXTS, rows[TEXT_ROW].to_numpy(), group),
            pl.read_parquet(folder / EVENTS),
            TrainConfig.model_validate(tables.read_json(folder / REST)),
        )

    def train(self, target: Path, checkpoint: Path) -> None:
        """Train, and write the encoder (if it pays) and a report.

        Of several processes (torchrun) all train and the first writes.

        Args:
            target: Folder to make, whole or not at all.
            checkpoint: Folder of the checkpoint; one that is there is continued.
        """
        # Heavy, and needed only where an encoder is trained.
        from counterpoint.encoder import sharding

        tune = self.config.encoder.tune
        assert tune is not None
        tower, tokenizer = load_backbone(self.config.encoder)
        group = ranks.current()
        task = task_of(self.rows, self.texts, self.events, tokenizer, self.config, group)
        trainable = choose(tower, tune.weights, seed=self.config.seed)
        if tune.shard_weights and group.world > 1:
            sharding.shard(trainable, group, resolve_device(tune.device))
        found = Tuner(trainable, task, tune, seed=self.config.seed).fit(checkpoint)
        weights = sharding.gather(trainable) if trainable.sharded else {}
        if group.rank:
            return
        if trainable.sharded:
            tower, _ = load_backbone(self.config.encoder)
            trainable = choose(tower, tune.weights, seed=self.config.seed)
            trainable.load(weights)
        report = {"pays": found.pays, "why": found.why, **found.figures}
        report["curves"] = asdict(found.curves)
        target.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=target.parent, prefix=".making-"))
        try:
            if found.pays:
                saved.save(trainable.merge(), tokenizer, made)
            tables.write_json(made / REPORT, report)
            shutil.rmtree(target, ignore_errors=True)
            made.rename(target)
        finally:
            shutil.rmtree(made, ignore_errors=True)


def task_of(
    rows: pl.DataFrame,
    texts: ItemTexts,
    events: pl.DataFrame,
    tokenizer: Any,
    config: TrainConfig,
    group: Ranks = ALONE,
) -> Task:
    """Return what an encoder is trained on.

    Args:
        rows: (N,) canonical items in index order.
        texts: Their texts; those of other processes may be missing.
        events: Ordered interactions that may be learned from.
        tokenizer: Of the encoder.
        config: With ``encoder.tune``.
        group: Of several processes each tokenises its texts.
    """
    assert config.encoder.tune is not None
    index = {item: number for number, item in enumerate(rows[columns.ITEM])}
    users = events[columns.USER].unique().sort().to_list()
    histories = from_events(events, index, user_ids=users)
    liked = histories.matrix(len(rows), positive_only=True)
    withheld = withheld_of(rows, texts, events, config)
    tokens = [list(found or ()) for found in rows[columns.ATTRIBUTES].to_list()]
    vocabulary = attribute_vocabulary(tokens, max_tokens=config.cold.max_attributes)
    table = tokenise(
        texts.distinct,
        tokenizer,
        max_tokens=config.encoder.max_tokens,
        rows=group.share(np.arange(len(texts.distinct))),
    )
    given = tokens, vocabulary, config.cold
    probe: ColdProbe | None = None
    found = score_columns.solve(liked, withheld)
    if found is not None:
        probe = cold_probe.build(found, liked, withheld, *given, seed=config.seed)
    if probe is None:
        withheld = np.zeros_like(withheld)
        found = score_columns.solve(liked, withheld)
    regression = _regression(found, texts.row, *given, seed=config.seed) if found else None
    return Task(table, texts.row, histories, withheld, probe, regression)


def withheld_of(
    rows: pl.DataFrame, texts: ItemTexts, events: pl.DataFrame, config: TrainConfig
) -> npt.NDArray[np.bool_]:
    """Return (N,) bool: the items that training is judged on, if there is enough to judge by.

    Args:
        rows: (N,) canonical items in index order.
        texts: Their texts.
        events: Ordered interactions that may be learned from.
        config: With ``encoder.tune``.
    """
    assert config.encoder.tune is not None
    row = texts.row
    liked = events.filter(columns.POSITIVE).select(columns.USER, columns.ITEM).unique()
    counts = dict(liked.group_by(columns.ITEM).len().iter_rows())
    popularity = np.array([counts.get(item, 0) for item in rows[columns.ITEM]], dtype=np.float32)
    withheld = cold_probe.withhold(
        popularity, row >= 0, share=config.encoder.tune.withheld, seed=config.seed
    )
    # Items of one text stand or fall together, or the withheld ones would be known by another name.
    return np.isin(row, row[withheld]) & (row >= 0)


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
