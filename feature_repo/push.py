"""Fresh events onto the online histories, without losing or rewinding any.

SQLite overwrites newer rows with older ones when pushes arrive out of order. So an event is merged
into the history that is stored, in its place by time, and the row that is written is never older
than the one it replaces.
"""

from datetime import timedelta
from typing import Final

import polars as pl

from counterpoint import columns
from counterpoint.errors import DataError
from counterpoint.histories import TIE_STEP_US, VISIBLE_AFTER_US
from counterpoint.point_in_time import LISTS
from feature_repo.push_lock import exclusive
from feature_repo.store import FeatureRepository

EVENT: Final = pl.Schema(
    {
        columns.USER: pl.String(),
        columns.ITEM: pl.String(),
        columns.TIMESTAMP: columns.INSTANT,
        columns.POSITIVE: pl.Boolean(),
    }
)
_EVENT_LISTS: Final = [name for name in LISTS if name != columns.ATTRIBUTES]
SAME_EVENT_US: Final = 1_000
"""Equal events closer than this are one event delivered twice (ties are spread by microseconds)."""


def push_events(repository: FeatureRepository, events: pl.DataFrame) -> int:
    """Merge events into the online histories of their users.

    Late and repeated deliveries do no harm: histories stay sorted by time, whatever the order in
    which events arrive, and an event that is already there is left out. Pushes from several
    processes wait for each other.

    Args:
        repository: The feature store.
        events: Frame with at least the columns of EVENT.

    Returns:
        Number of users whose history changed.

    Raises:
        DataError: A column is missing or holds nulls.
        ServerError: Others kept the lock on a remote store for too long.
    """
    return len(changed_users(repository, events))


def changed_users(repository: FeatureRepository, events: pl.DataFrame) -> list[str]:
    """Do what ``push_events`` does and return the users whose history changed."""
    missing = [name for name in EVENT if name not in events.columns]
    if missing:
        raise DataError(
            f"The pushed events lack {', '.join(missing)}. Needed: {', '.join(EVENT)}. Map the "
            "columns of the event stream to these names."
        )
    fresh = events.select(pl.col(name).cast(dtype) for name, dtype in EVENT.items())
    empty = [name for name, count in fresh.null_count().row(0, named=True).items() if count]
    if empty:
        raise DataError(
            f"The pushed events have nulls in {', '.join(empty)}; every event needs a user, an "
            "item, a timestamp and whether it is positive. Drop or mend those rows."
        )
    if fresh.is_empty():
        return []
    with exclusive(repository):
        return _merge(repository, fresh)


def _merge(repository: FeatureRepository, fresh: pl.DataFrame) -> list[str]:
    stored = repository.online(fresh[columns.USER].unique().sort().to_list())
    known = stored.select(columns.USER, *_EVENT_LISTS).explode(_EVENT_LISTS).drop_nulls()
    arriving = fresh.select(
        columns.USER,
        pl.col(columns.ITEM).alias(columns.HISTORY),
        pl.col(columns.TIMESTAMP).dt.epoch("us").alias(columns.HISTORY_TIMESTAMPS),
        pl.col(columns.POSITIVE).alias(columns.HISTORY_POSITIVE),
    )
    merged = _histories(_distinct(known, arriving), repository.history_length)
    changed = merged.join(stored, on=[columns.USER, *_EVENT_LISTS], how="anti")
    if not changed.is_empty():
        repository.push(_newer_than_stored(repository, changed))
    return changed[columns.USER].to_list()


def _newer_than_stored(repository: FeatureRepository, rows: pl.DataFrame) -> pl.DataFrame:
    """Date rows after those they replace: Redis drops a write that is not newer.

    A late event changes a history without changing when its newest event became visible.
    """
    stored = repository.dated(rows[columns.USER].to_list())
    after = pl.Series(stored, dtype=columns.INSTANT) + timedelta(microseconds=1)
    stamp = columns.FEATURE_TIMESTAMP
    return rows.with_columns(pl.max_horizontal(pl.col(stamp), after.alias("_after")).alias(stamp))


def _distinct(known: pl.DataFrame, arriving: pl.DataFrame) -> pl.DataFrame:
    """Unite events, leaving out arriving ones that are there already; known ones always stay."""
    same = [columns.USER, columns.HISTORY, columns.HISTORY_POSITIVE]
    stamp, is_known = pl.col(columns.HISTORY_TIMESTAMPS), pl.col("_known")
    both = pl.concat(
        [known.with_columns(_known=pl.lit(True)), arriving.with_columns(_known=pl.lit(False))]
    ).sort(columns.USER, stamp, is_known, descending=[False, False, True])
    after_one = (stamp - stamp.shift(1)).over(same) < SAME_EVENT_US
    before_known = is_known.shift(-1).over(same) & (
        (stamp.shift(-1) - stamp).over(same) < SAME_EVENT_US
    )
    repeated = after_one.fill_null(False) | before_known.fill_null(False)
    return both.filter(is_known | ~repeated)


def _histories(events: pl.DataFrame, length: int) -> pl.DataFrame:
    """Turn events (user, item, microseconds, positive) into rows of ``user_history``."""
    stamp = pl.col(columns.HISTORY_TIMESTAMPS)
    # As in histories.order_events: events of one instant in an order that says nothing, spread out.
    spread = pl.int_range(pl.len(), dtype=pl.Int64) * TIE_STEP_US
    return (
        events.sort(columns.USER, stamp, pl.col(columns.HISTORY).hash(), columns.HISTORY_POSITIVE)
        .with_columns(((stamp - spread).cum_max() + spread).over(columns.USER))
        .group_by(columns.USER, maintain_order=True)
        .agg(pl.col(_EVENT_LISTS).tail(length))
        .with_columns((stamp.list.last() + VISIBLE_AFTER_US).alias(columns.HISTORY_UNTIL))
        .with_columns(
            pl.col(columns.HISTORY_UNTIL).cast(columns.INSTANT).alias(columns.FEATURE_TIMESTAMP)
        )
    )
