"""Merges live items into the items of a data set, so that the next model is trained with them."""

import logging
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from counterpoint import columns, tables
from counterpoint.attributes import Spec, normalise
from counterpoint.errors import DataError
from counterpoint.live_exchange import PREFIX, LiveItemsServer
from counterpoint.live_items import StoredItem
from counterpoint.live_store import LiveStore, UnusableStore
from counterpoint.live_vectors import numbers

logger = logging.getLogger(__name__)

_REMOVED = "_removed"
_LIVE = "_live_"


def read(origin: str) -> list[StoredItem]:
    """Return all rows of a store, tombstones included; none if its file does not exist yet.

    Args:
        origin: The file, or ``http://host:port`` of the server that keeps it.

    Raises:
        DataError: The file is no usable store, or the server does not answer.
    """
    try:
        return _fetched(origin) if origin.startswith(PREFIX) else _stored(Path(origin))
    except UnusableStore as error:
        raise DataError(f"{error} Or set ingest.live_items to null.") from error


def _stored(path: Path) -> list[StoredItem]:
    if not path.is_file():
        logger.info("No live items: %s does not exist", path)
        return []
    store = LiveStore(path)
    try:
        return store.since()
    finally:
        store.close()


def _fetched(address: str) -> list[StoredItem]:
    """Return the rows as a store gives them: the latest of each item, oldest addition first."""
    server = LiveItemsServer(address)
    rows: dict[str, StoredItem] = {}
    seen, name, more = 0, "", True
    while more:
        changes = server.changes(seen, store=name)
        if changes.anew:
            rows.clear()
        rows |= {row.item.item_id: row for row in changes.rows}
        seen, name, more = changes.revision, changes.store, changes.more
    return sorted(rows.values(), key=lambda row: (row.added_at, row.item.item_id))


def merged(
    items: pl.LazyFrame, stored: Sequence[StoredItem], spec: Spec, *, origin: str
) -> tuple[pl.LazyFrame, list[str]]:
    """Return the items with the live ones merged in, and what was done as sentences.

    The data set is the source of truth: where both have an item its values win and live values fill
    its nulls. A removed item is available until its removal, so that no later list shows it; one
    that only the store has is left out.

    Args:
        items: ``columns.ITEMS``, lazy.
        stored: Rows of the store.
        spec: How the data set bins item attributes.
        origin: Name of the store in the sentences.
    """
    if not stored:
        return items, []
    live, faults = _frame(stored, spec)
    named = {name: f"{_LIVE}{name}" for name in columns.ITEMS if name != columns.ITEM}
    joined = items.join(
        live.lazy().rename(named), on=columns.ITEM, how="left", maintain_order="left"
    )
    filled = [
        pl.coalesce(pl.col(name), pl.col(other)).alias(name)
        for name, other in named.items()
        if name != columns.ATTRIBUTES
    ]
    own = pl.col(columns.ATTRIBUTES)
    tokens = pl.when(own.list.len().fill_null(0) > 0).then(own)
    filled.append(tokens.otherwise(pl.coalesce(f"{_LIVE}{columns.ATTRIBUTES}", own)))
    end = pl.min_horizontal(columns.AVAILABLE_UNTIL, _REMOVED).alias(columns.AVAILABLE_UNTIL)
    old = joined.with_columns(filled).with_columns(end).select(list(columns.ITEMS))
    new = (
        live.lazy()
        .filter(pl.col(_REMOVED).is_null())
        .join(items.select(columns.ITEM), on=columns.ITEM, how="anti", maintain_order="left")
        .select(list(columns.ITEMS))
    )
    added = int(new.select(pl.len()).collect().item())
    gone = sum(row.removed_at is not None for row in stored)
    note = (
        f"{len(stored)} live items from {origin}: {added} added to the items, "
        f"{len(stored) - added - gone} filled nulls of the data set's rows, {gone} removed."
    )
    return pl.concat([old, new]), [note, *faults]


def with_vectors(rows: pl.LazyFrame, stored: Sequence[StoredItem], name: str) -> pl.LazyFrame:
    """Add the vectors of live items; where the data set has one of an item as well, that counts.

    Args:
        rows: ``columns.VECTORS`` of a modality, lazy.
        stored: Rows of the store.
        name: Of the modality.
    """
    live = {
        row.item.item_id: numbers(content)
        for row in stored
        if row.removed_at is None
        for modality, content in row.item.vectors
        if modality == name
    }
    frame = pl.LazyFrame(
        {columns.ITEM: list(live), columns.VECTOR: list(live.values())}, schema=columns.VECTORS
    )
    empty = pl.col(columns.VECTOR).is_null() & pl.col(columns.ITEM).is_in(list(live))
    own = rows.filter(~empty.fill_null(False))
    added = frame.join(own, on=columns.ITEM, how="anti", maintain_order="left")
    return pl.concat([own, added])


def _frame(stored: Sequence[StoredItem], spec: Spec) -> tuple[pl.DataFrame, list[str]]:
    """The rows as canonical items with the time of removal, and what did not fit."""
    faults, tokens = [], []
    for row in stored:
        try:
            tokens.append(normalise(row.item.attributes, spec))
        except ValueError as error:
            tokens.append([])
            faults.append(f"Attributes of live item {row.item.item_id!r} are left out: {error}")
    items = [row.item for row in stored]
    frame = pl.DataFrame(
        {
            columns.ITEM: [item.item_id for item in items],
            columns.TITLE: [item.title for item in items],
            columns.TEXT: [item.text for item in items],
            columns.ATTRIBUTES: pl.Series(tokens, dtype=pl.List(pl.String)),
            columns.AVAILABLE_FROM: _instants([item.available_from for item in items]),
            columns.AVAILABLE_UNTIL: _instants([item.available_until for item in items]),
        }
    )
    removed = _instants([row.removed_at for row in stored]).alias(_REMOVED)
    return tables.conform(frame, columns.ITEMS, table="items").with_columns(removed), faults


def _instants(micros: Sequence[int | None]) -> pl.Series:
    return pl.Series(micros, dtype=pl.Int64).cast(columns.INSTANT)
