"""Fresh events onto the online histories, without losing or rewinding any.

SQLite overwrites newer rows with older ones when pushes arrive out of order. So an event is merged
into the history that is stored, in its place by time, and the row that is written is never older
than the one it replaces.
"""

from typing import Final

import polars as pl
from feast.data_source import PushMode
from filelock import FileLock

from counterpoint import columns
from counterpoint.errors import DataError
from counterpoint.histories import TIE_STEP_US, VISIBLE_AFTER_US
from counterpoint.point_in_time import LISTS
from feature_repo.sources import PUSH_SOURCE
from feature_repo.store import FeatureRepository

EVENT: Final = pl.Schema(
    {
        columns.USER: pl.String(),
        columns.ITEM: pl.String(),
        columns.TIMESTAMP: columns.INSTANT,
        columns.POSITIVE: pl.Boolean(),
    }
)
SAME_EVENT_US: Final = 1_000
"""Equal events closer than this are one event delivered twice (ties are spread by microseconds)."""


def push_events(repository: FeatureRepository, events: pl.DataFrame) -> int:
    """Merge events into the online histories of their users.

    Order and repetition do not matter: any order of delivery, and any number of deliveries, of the
    same events gives the same histories, as long as an event is not older than everything in a full
    history. Pushes from several processes to one local store wait for each other; with a remote
    online store let one consumer handle a user.

    Args:
        repository: The feature store.
        events: Frame with at least the columns of EVENT.

    Returns:
        Number of users whose history changed.

    Raises:
        DataError: A column is missing or holds nulls.
    """
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
        return 0
    with FileLock(repository.folder / ".push.lock"):
        return _merge(repository, fresh)


def _merge(repository: FeatureRepository, fresh: pl.DataFrame) -> int:
    users = fresh[columns.USER].unique().sort().to_list()
    stored = repository.online(users)
    merged = _history(
        pl.concat(
            [
                stored.select(columns.USER, *LISTS_OF_EVENTS).explode(LISTS_OF_EVENTS).drop_nulls(),
                fresh.select(
                    columns.USER,
                    pl.col(columns.ITEM).alias(columns.HISTORY),
                    pl.col(columns.TIMESTAMP).dt.epoch("us").alias(columns.HISTORY_TIMESTAMPS),
                    pl.col(columns.POSITIVE).alias(columns.HISTORY_POSITIVE),
                ),
            ]
        ),
        repository.history_length,
    )
    changed = merged.join(stored, on=[columns.USER, *LISTS_OF_EVENTS], how="anti", nulls_equal=True)
    if not changed.is_empty():
        repository.push(PUSH_SOURCE, changed, PushMode.ONLINE)
    return len(changed)


LISTS_OF_EVENTS: Final = [name for name in LISTS if name != columns.ATTRIBUTES]


def _history(events: pl.DataFrame, length: int) -> pl.DataFrame:
    """Turn events (user, item, microseconds, positive) into rows of ``user_history``."""
    stamp = pl.col(columns.HISTORY_TIMESTAMPS)
    same = [columns.USER, columns.HISTORY, columns.HISTORY_POSITIVE]
    spread = pl.int_range(pl.len(), dtype=pl.Int64) * TIE_STEP_US
    return (
        events.sort(columns.USER, stamp, columns.HISTORY, columns.HISTORY_POSITIVE)
        .filter((stamp - stamp.shift(1)).over(same).fill_null(SAME_EVENT_US) >= SAME_EVENT_US)
        .with_columns(((stamp - spread).cum_max() + spread).over(columns.USER))
        .group_by(columns.USER, maintain_order=True)
        .agg(pl.col(LISTS_OF_EVENTS).tail(length))
        .with_columns(
            (pl.col(columns.HISTORY_TIMESTAMPS).list.last() + VISIBLE_AFTER_US).alias(
                columns.HISTORY_UNTIL
            )
        )
        .with_columns(
            pl.col(columns.HISTORY_UNTIL).cast(columns.INSTANT).alias(columns.FEATURE_TIMESTAMP)
        )
    )
