"""Offline recommendations: a model and a history file in, ranked items of every user out."""

import logging
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from counterpoint import artifacts, columns, datasets, modality_files, tables, vector_tables
from counterpoint.config.ingest import ModalityConfig
from counterpoint.datasets._positive import at_user_median
from counterpoint.errors import ConfigError
from counterpoint.histories import Histories, from_events, order_events
from counterpoint.progress import track
from counterpoint.recommender import Recommender
from counterpoint.reranker import blend
from counterpoint.stages.fit import DATA

logger = logging.getLogger(__name__)

CHUNK_USERS = 2_000


@dataclass(frozen=True)
class BatchResult:
    """Key figures.

    Attributes:
        users: Users that got recommendations.
        rows: Rows written.
        without_history: Users whose history has no item the model knows; they get the start page.
        new_items: Candidates the model did not know and scored from their text.
        rejected: Rows of the files that could not be read; kept beside the output.
    """

    users: int
    rows: int
    without_history: int
    new_items: int
    rejected: int

    @property
    def figures(self) -> dict[str, Any]:
        """The attributes."""
        return dict(self.__dict__)


def run(
    *,
    model: Path,
    history: Path,
    output: Path,
    candidates: Path | None = None,
    users: Path | None = None,
    vectors: Mapping[str, str] | None = None,
    k: int = 10,
    seed: int = 0,
) -> BatchResult:
    """Recommend to every user of the history (and users) file.

    Args:
        model: Model folder of ``fit`` or of the stage ``train``.
        history: Interactions file; what a user has interacted with is not recommended again.
        output: Parquet file of user_id, item_id, rank (from 1) and score.
        candidates: Items file; only its items are recommended. Items the model does not know are
            scored from their title, text, attributes and vectors.
        users: Users file, for attributes and for users without any history.
        vectors: Name of a modality -> file or folder, as in ``ingest.modalities``, of candidates.
        k: Longest list of a user.
        seed: Seed of the order of equal timestamps.

    Raises:
        ConfigError: There are vectors, but no candidates.
        DataError: A file cannot be read, or the model cannot read its vectors.
    """
    if vectors and not candidates:
        raise ConfigError(["Vectors are of new items: name the file of the candidates as well."])
    recommender = Recommender.load(model)
    files = {"interactions": history, "items": candidates, "users": users}
    options = {name: str(path.absolute()) for name, path in files.items() if path}
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{output.name}.", dir=output.parent) as scratch:
        source = datasets.read("tables", options, cache=Path(scratch), staging=Path(scratch))
        known = tables.Tables(
            _usable(source.interactions.collect()).with_columns(liked(positive_rule(model))),
            source.items.collect().unique(columns.ITEM, keep="first", maintain_order=True),
            source.users.collect().unique(columns.USER, keep="first", maintain_order=True),
        )
        shown = {
            name: modality_files.scan(
                name, ModalityConfig(path=path), staging=Path(scratch) / vector_tables.table(name)
            )
            for name, path in (vectors or {}).items()
        }
        frames = {name: found.rows.collect() for name, found in shown.items()}
        parts = [source.rejected, *(found.rejected for found in shown.values())]
        rejected = _keep_rejected(pl.concat(parts).collect(), output)
    logger.info("Read %d interactions", len(known.interactions))
    extended = recommender.extend(known.items, modalities=frames) if candidates else recommender
    allowed = known.items[columns.ITEM].unique(maintain_order=True) if candidates else None
    look = blend.second_look(model, extended)
    histories = _histories(extended, known, seed)
    rows = 0
    partial = output.with_name(f".{output.name}.{os.getpid()}")
    schema = pl.DataFrame(schema=columns.RECOMMENDATIONS).to_arrow().schema
    chunks = np.array_split(np.arange(len(histories)), max(1, -(-len(histories) // CHUNK_USERS)))
    with pq.ParquetWriter(partial, schema) as writer:
        for chunk in track(chunks, "Recommend to users"):
            best = extended.recommend(
                histories.take(chunk),
                k,
                candidates=None if allowed is None else allowed.to_list(),
                second_look=look,
            )
            writer.write_table(best.to_arrow().cast(schema))
            rows += len(best)
    os.replace(partial, output)
    return BatchResult(
        users=len(histories),
        rows=rows,
        without_history=int((np.diff(histories.indptr) == 0).sum()),
        new_items=extended.n_items - recommender.n_items,
        rejected=rejected,
    )


def _usable(interactions: pl.DataFrame) -> pl.DataFrame:
    """Rows of a user. One without an item asks for that user, one without a time is the oldest."""
    named = interactions.filter(pl.col(columns.USER).str.strip_chars() != "")
    if unnamed := len(interactions) - len(named):
        logger.warning("%d rows without a user are left out", unnamed)
    oldest = pl.lit(datetime.fromtimestamp(0, UTC), dtype=columns.INSTANT)
    return named.with_columns(pl.col(columns.TIMESTAMP).fill_null(oldest))


def _histories(recommender: Recommender, known: tables.Tables, seed: int) -> Histories:
    events = order_events(known.interactions, seed=seed)
    ids = pl.concat([events[columns.USER], known.users[columns.USER]]).unique(maintain_order=True)
    attributes = dict(
        zip(known.users[columns.USER], known.users[columns.ATTRIBUTES].to_list(), strict=True)
    )
    return from_events(
        events,
        recommender.item_index,
        user_ids=ids.to_list(),
        attributes={user: tokens or [] for user, tokens in attributes.items()},
    )


def positive_rule(model: Path) -> dict[str, Any]:
    """What counted as positive when the model was trained (``positive_rule`` of dataset.json)."""
    path = model / DATA / artifacts.DATASET
    return (tables.read_json(path).get("positive_rule") or {}) if path.is_file() else {}


def liked(rule: dict[str, Any]) -> pl.Expr:
    """The rule applied to a history, which may lack the columns it reads: those rows are liked."""
    positive = pl.lit(True)
    if rule.get("min_value") is not None:
        positive &= (pl.col(columns.VALUE) >= rule["min_value"]).fill_null(True)
    if rule.get("at_user_median"):
        positive &= at_user_median().fill_null(True)
    if rule.get("above") is not None:
        positive &= (pl.col(columns.VALUE) > rule["above"]).fill_null(True)
    if rule.get("events"):
        known = pl.col(columns.EVENT).is_in(rule["events"])
        positive &= known | (~known).all()
    return positive.alias(columns.POSITIVE)


def _keep_rejected(rejected: pl.DataFrame, output: Path) -> int:
    if len(rejected):
        beside = output.with_suffix(".rejected.parquet")
        rejected.write_parquet(beside)
        logger.warning("%d rows could not be read; they are kept in %s", len(rejected), beside)
    return len(rejected)
