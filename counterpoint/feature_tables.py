"""The tables a feature store reads: one row per fact and the instant it became visible.

============================  =====================================================================
table                         one row per
============================  =====================================================================
``user_last_event``           event: number of the user's newest visible event
``event_history``             event: the user's history up to and including it
``user_history``              user: the newest history (online)
``user_profile``              user: attributes
``user_statistics``           event: running counts of the user
``item_profile``              item: title, text, attributes, availability
``item_statistics``           item and day: running counts, visible from the next day on
============================  =====================================================================

A point-in-time join pairs a request with every earlier row of its user. With whole histories in
those rows its cost would grow with the cube of a user's activity, so the join runs over the small
``user_last_event``, whose answer names one immutable row of ``event_history``.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from counterpoint import columns
from counterpoint.histories import VISIBLE_AFTER_US
from counterpoint.point_in_time import histories_ending
from counterpoint.tables import Tables

LISTS: Final = {
    columns.HISTORY: pl.List(pl.String()),
    columns.HISTORY_TIMESTAMPS: pl.List(pl.Int64()),
    columns.HISTORY_POSITIVE: pl.List(pl.Boolean()),
    columns.HISTORY_UNTIL: pl.Int64(),
}
COUNTS: Final = {columns.EVENTS: pl.Int64(), columns.POSITIVES: pl.Int64()}
USER_KEY: Final = {columns.USER: pl.String(), columns.FEATURE_TIMESTAMP: columns.INSTANT}
ITEM_KEY: Final = {columns.ITEM: pl.String(), columns.FEATURE_TIMESTAMP: columns.INSTANT}
VERSION_KEY: Final = {
    columns.HISTORY_VERSION: pl.Int64(),
    columns.FEATURE_TIMESTAMP: columns.INSTANT,
}

USER_LAST_EVENT: Final = "user_last_event"
EVENT_HISTORY: Final = "event_history"
USER_HISTORY: Final = "user_history"
USER_PROFILE: Final = "user_profile"
USER_STATISTICS: Final = "user_statistics"
ITEM_PROFILE: Final = "item_profile"
ITEM_STATISTICS: Final = "item_statistics"

SCHEMAS: Final[dict[str, pl.Schema]] = {
    USER_LAST_EVENT: pl.Schema({**USER_KEY, columns.HISTORY_VERSION: pl.Int64()}),
    EVENT_HISTORY: pl.Schema({**VERSION_KEY, **LISTS}),
    USER_HISTORY: pl.Schema({**USER_KEY, **LISTS}),
    USER_PROFILE: pl.Schema({**USER_KEY, columns.ATTRIBUTES: pl.List(pl.String())}),
    USER_STATISTICS: pl.Schema({**USER_KEY, **COUNTS}),
    ITEM_PROFILE: pl.Schema(
        {**ITEM_KEY, **{n: t for n, t in columns.ITEMS.items() if n != columns.ITEM}}
    ),
    ITEM_STATISTICS: pl.Schema({**ITEM_KEY, **COUNTS}),
}
"""Table -> columns: the join key, the feature timestamp, then the features."""

BLOCK_ENTRIES = 4_000_000
"""List entries of ``event_history`` in memory at a time (about 40 bytes each)."""

_ROW_GROUP = 10_000
_ALWAYS = datetime(1900, 1, 1, tzinfo=UTC)


def path(folder: Path, table: str) -> Path:
    """Return the file of a feature table."""
    return folder / f"{table}.parquet"


def span(interactions: pl.DataFrame) -> tuple[datetime, datetime]:
    """Return an instant before every event, and the first one at which every feature is visible.

    Profiles carry no time of their own: they hold from the first of the two on.
    """
    stamps = interactions[columns.TIMESTAMP]
    first, last = stamps.min(), stamps.max()
    if not isinstance(first, datetime) or not isinstance(last, datetime):
        return _ALWAYS, _ALWAYS
    midnight = last.replace(hour=0, minute=0, second=0, microsecond=0)
    return min(_ALWAYS, first - timedelta(days=1)), midnight + timedelta(days=1)


def write(folder: Path, tables: Tables, *, history_length: int) -> None:
    """Write all feature tables as Parquet files.

    The size of ``event_history`` is the number of events times the mean history, at most
    ``history_length``; it is written in blocks of BLOCK_ENTRIES.

    Args:
        folder: Where to; older files of the same names are replaced.
        tables: Canonical tables with ordered interactions.
        history_length: Longest history; the newest events stay.
    """
    folder.mkdir(parents=True, exist_ok=True)
    since, _ = span(tables.interactions)
    for name, frame in _small(tables, history_length, since).items():
        schema = SCHEMAS[name]
        frame.select(pl.col(n).cast(t) for n, t in schema.items()).write_parquet(
            path(folder, name), row_group_size=_ROW_GROUP
        )
    schema = SCHEMAS[EVENT_HISTORY]
    arrow = schema.to_frame().to_arrow(compat_level=pl.CompatLevel.oldest()).schema
    with pq.ParquetWriter(path(folder, EVENT_HISTORY), arrow, compression="zstd") as writer:
        for block in _history_blocks(tables.interactions, history_length):
            table = block.select(pl.col(n).cast(t) for n, t in schema.items())
            writer.write_table(
                table.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(arrow), _ROW_GROUP
            )


def _small(tables: Tables, history_length: int, since: datetime) -> dict[str, pl.DataFrame]:
    """All tables but ``event_history``."""
    log = tables.interactions.select(
        columns.USER,
        columns.ITEM,
        columns.TIMESTAMP,
        pl.col(columns.POSITIVE).cast(pl.Int64).alias(columns.POSITIVES),
        _visible().alias(columns.FEATURE_TIMESTAMP),
        pl.int_range(pl.len(), dtype=pl.Int64).alias(columns.HISTORY_VERSION),
    )
    from_the_start = pl.lit(since).cast(columns.INSTANT).alias(columns.FEATURE_TIMESTAMP)
    newest = (
        log.group_by(columns.USER, maintain_order=True)
        .agg(pl.col(columns.HISTORY_VERSION).max(), pl.len().alias("_length"))
        .with_columns(pl.col("_length").clip(upper_bound=history_length).cast(pl.Int64))
    )
    next_day = pl.col(columns.TIMESTAMP).dt.truncate("1d").dt.offset_by("1d")
    daily = (
        log.group_by(columns.ITEM, next_day.alias(columns.FEATURE_TIMESTAMP))
        .agg(pl.len().cast(pl.Int64).alias(columns.EVENTS), pl.col(columns.POSITIVES).sum())
        .sort(columns.ITEM, columns.FEATURE_TIMESTAMP)
    )
    return {
        USER_LAST_EVENT: log,
        USER_HISTORY: newest.select(columns.USER).hstack(
            _histories(
                tables.interactions,
                newest[columns.HISTORY_VERSION].to_numpy(),
                newest["_length"].to_numpy(),
            )
        ),
        USER_PROFILE: tables.users.with_columns(from_the_start).sort(columns.USER),
        USER_STATISTICS: log.with_columns(
            pl.int_range(1, pl.len() + 1, dtype=pl.Int64).over(columns.USER).alias(columns.EVENTS),
            pl.col(columns.POSITIVES).cum_sum().over(columns.USER),
        ),
        ITEM_PROFILE: tables.items.with_columns(from_the_start).sort(columns.ITEM),
        ITEM_STATISTICS: daily.with_columns(
            pl.col(columns.EVENTS, columns.POSITIVES).cum_sum().over(columns.ITEM)
        ),
    }


def _visible() -> pl.Expr:
    return pl.col(columns.TIMESTAMP).dt.offset_by(f"{VISIBLE_AFTER_US}us")


def _histories(interactions: pl.DataFrame, last: np.ndarray, length: np.ndarray) -> pl.DataFrame:
    """Histories that end with the events ``last``, their version and the time they are visible."""
    seen = interactions[last].select(
        _visible().alias(columns.FEATURE_TIMESTAMP),
        _visible().dt.epoch("us").alias(columns.HISTORY_UNTIL),
        pl.Series(columns.HISTORY_VERSION, last),
    )
    return seen.hstack(histories_ending(interactions, last, length))


def _history_blocks(interactions: pl.DataFrame, history_length: int) -> Iterator[pl.DataFrame]:
    """Yield the rows of ``event_history`` in blocks of bounded size."""
    length = (
        interactions.select(
            pl.int_range(1, pl.len() + 1, dtype=pl.Int64)
            .over(columns.USER)
            .clip(upper_bound=history_length)
        )
        .to_series()
        .to_numpy()
    )
    block = np.cumsum(length) // BLOCK_ENTRIES
    edges = [0, *(np.flatnonzero(np.diff(block)) + 1).tolist(), len(length)]
    for start, end in pairwise(edges):
        yield _histories(interactions, np.arange(start, end), length[start:end])
