"""Stage 1: a source of any kind -> the canonical tables of a data set folder."""

import logging
import shutil
import tempfile
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from counterpoint import (
    artifacts,
    columns,
    datasets,
    live_ingest,
    modality_files,
    tables,
    vector_tables,
)
from counterpoint.config.ingest import IngestConfig
from counterpoint.datasets import Source
from counterpoint.datasets._source import REASON, TABLE
from counterpoint.errors import DataError
from counterpoint.modality_files import Vectors
from counterpoint.progress import track

logger = logging.getLogger(__name__)

SHOWN_REASONS = 3
STAGING = ".staging"


@dataclass(frozen=True)
class IngestResult:
    """What was read.

    Attributes:
        figures: Rows, users, items, positives and unreadable rows.
        notes: Choices made automatically, and the licence, as sentences.
        content_sha256: Of the rows of all tables.
    """

    figures: dict[str, Any]
    notes: list[str]
    content_sha256: str


def run(config: IngestConfig, *, dataset: Path) -> IngestResult:
    """Read the source and write the canonical tables, the unreadable rows and ``dataset.json``.

    Memory stays bounded: rows stream from the source to Parquet.

    Args:
        config: Source and its options.
        dataset: Folder to write.

    Raises:
        ConfigError: Unknown data set or options.
        DataError: The source cannot be read, or no row of it can.
        SetupError: The data set could not be fetched.
    """
    dataset.mkdir(parents=True, exist_ok=True)
    # Written last, so that a folder with this file is complete.
    (dataset / artifacts.DATASET).unlink(missing_ok=True)
    vector_tables.clear(dataset)
    for left in dataset.glob(f"{STAGING}*"):  # by a run that was killed
        shutil.rmtree(left)
    with tempfile.TemporaryDirectory(prefix=STAGING, dir=dataset) as staging:
        source = datasets.read(
            config.dataset, config.options, cache=Path(config.cache), staging=Path(staging)
        )
        if config.until:
            source = _cut(source, config.until)
        vectors = {
            name: modality_files.scan(
                name, given, staging=Path(staging) / vector_tables.table(name)
            )
            for name, given in config.modalities.items()
        }
        if config.live_items:
            source, vectors = _with_live(source, vectors, config.live_items)
        outputs = {name: getattr(source, table) for table, (name, _) in tables.FILES.items()}
        rejected = [source.rejected, *(part.rejected for part in vectors.values())]
        outputs[artifacts.REJECTED] = pl.concat(rejected)
        for name, part in vectors.items():
            outputs[vector_tables.path(dataset, name).name] = part.rows
        try:
            for name in track(outputs, "Write canonical tables"):
                outputs[name].sink_parquet(dataset / name)
        except pl.exceptions.PolarsError as error:
            origin = ", ".join([source.origin, *(m.path for m in config.modalities.values())])
            raise DataError(f"{origin} cannot be read to its end: {error}.") from error
        notes = [note for part in vectors.values() for note in part.notes]
        source = replace(source, notes=[*source.notes, *notes])
    return _describe(source, dataset)


def _cut(source: Source, until: datetime) -> Source:
    """Leave out the events from an instant on; naive instants are UTC."""
    instant = until if until.tzinfo else until.replace(tzinfo=UTC)
    early = source.interactions.filter(pl.col(columns.TIMESTAMP) < instant)
    note = f"Only events before {instant.isoformat()} are read (ingest.until)."
    return replace(source, interactions=early, notes=[*source.notes, note])


def _with_live(
    source: Source, vectors: dict[str, Vectors], store: str
) -> tuple[Source, dict[str, Vectors]]:
    """Add what was added, changed or removed while a model served."""
    stored = live_ingest.read(store)
    items, notes = live_ingest.merged(
        source.items, stored, source.attributes.get("item", {}), origin=store
    )
    merged = {
        name: replace(part, rows=live_ingest.with_vectors(part.rows, stored, name))
        for name, part in vectors.items()
    }
    unread = sorted({name for row in stored for name, _ in row.item.vectors} - set(vectors))
    if unread:
        notes.append(
            f"Vectors of live items for {', '.join(unread)} are left out: ingest.modalities has no "
            "such modality."
        )
    return replace(source, items=items, notes=[*source.notes, *notes]), merged


def _describe(source: Source, dataset: Path) -> IngestResult:
    rows = {table: _count(dataset / name) for table, (name, _) in tables.FILES.items()}
    vectors = {name: _count(file) for name, file in vector_tables.named(dataset).items()}
    rows |= {vector_tables.table(name): count for name, count in vectors.items()}
    rejected = pl.scan_parquet(dataset / artifacts.REJECTED)
    by_table = dict(rejected.group_by(TABLE).len().collect().iter_rows())
    if not rows["interactions"]:
        reasons = (
            rejected.filter(pl.col(TABLE) == "interactions").select(REASON).head(SHOWN_REASONS)
        )
        found = "; ".join(reasons.collect()[REASON]) or "the file has a header but no data rows"
        raise DataError(f"No interaction of {source.origin} can be read: {found}.")
    counted = (
        pl.scan_parquet(dataset / artifacts.INTERACTIONS)
        .select(
            pl.col(columns.POSITIVE).sum(),
            pl.col(columns.USER).n_unique().alias("users"),
            pl.col(columns.ITEM).n_unique().alias("items"),
        )
        .collect(engine="streaming")
        .row(0, named=True)
    )
    if not counted[columns.POSITIVE]:
        raise DataError(
            f"No interaction of {source.origin} counts as positive under the rule "
            f"{source.positive!r}: there is nothing to learn from. Change `positive`."
        )
    read = {"rejected": {table: by_table.get(table, 0) for table in rows}}
    sha256 = tables.content_hash(dataset)
    facts: dict[str, Any] = {
        **source.facts(),
        "content_sha256": sha256,
        "rows": rows,
        "read": read,
        "notes": source.notes,
    }
    tables.write_json(dataset / artifacts.DATASET, facts)
    figures = {
        "interactions": rows["interactions"],
        "positives": counted[columns.POSITIVE],
        "active_users": counted["users"],
        "active_items": counted["items"],
        "items": rows["items"],
        "users": rows["users"],
        **{f"vectors_{name}": count for name, count in vectors.items()},
        "unreadable_rows": sum(by_table.values()),
    }
    notes = [*source.notes, *([source.licence] if source.licence else [])]
    for note in notes:
        logger.info("%s", note)
    if by_table:
        logger.warning("Rows that could not be read, kept for the quarantine: %s", by_table)
    return IngestResult(figures, notes, sha256)


def _count(path: Path) -> int:
    return int(pl.scan_parquet(path).select(pl.len()).collect().item())
