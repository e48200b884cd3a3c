"""What was known about a user at an instant: feature sources and the guards on their answers.

A feature source answers requests (user, instant) with the features whose own timestamp is not later
than the instant. ``lookup`` trusts no source: every answer is checked before it becomes training
data.
"""

from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from counterpoint import columns
from counterpoint.errors import DataError
from counterpoint.histories import VISIBLE_AFTER_US
from counterpoint.tables import Tables

EARLIER: Final = "earlier"
"""Number of the user's events before the instant, as counted when the request was made."""

REQUESTS: Final = pl.Schema(
    {columns.REQUEST: pl.Int64(), columns.USER: pl.String(), columns.TIMESTAMP: columns.INSTANT}
)
USER_FEATURES: Final = pl.Schema(
    {
        columns.HISTORY: pl.List(pl.String()),
        columns.HISTORY_TIMESTAMPS: pl.List(pl.Int64()),
        columns.HISTORY_POSITIVE: pl.List(pl.Boolean()),
        columns.HISTORY_UNTIL: pl.Int64(),
        columns.ATTRIBUTES: pl.List(pl.String()),
    }
)
LISTS: Final = [name for name, dtype in USER_FEATURES.items() if dtype.is_nested()]


class FeatureSource(Protocol):
    """Where the examples' features come from."""

    @property
    def history_length(self) -> int:
        """Longest history it returns."""
        ...

    def historical(self, requests: pl.DataFrame) -> pl.DataFrame:
        """Answer REQUESTS (distinct user and instant) with the same rows and USER_FEATURES.

        Lists are empty, and ``history_until`` null, for a user without an earlier event. The order
        of the rows does not matter.
        """
        ...

    def item_profiles(self, ids: pl.Series) -> pl.DataFrame:
        """Return columns.ITEMS of these items, nulls where nothing is known about one."""
        ...

    def user_profiles(self, ids: pl.Series) -> pl.DataFrame:
        """Return columns.USERS of these users, nulls where nothing is known about one."""
        ...

    def describe(self) -> dict[str, Any]:
        """Return what names the source and its version, for features.json."""
        ...


@dataclass(frozen=True)
class PlainFeatures:
    """The in-process feature source: ``counterpoint fit``, benchmarks, and the tests' oracle.

    Attributes:
        tables: Canonical tables with ordered interactions.
        history_length: Longest history; the newest events stay.
    """

    tables: Tables
    history_length: int

    def historical(self, requests: pl.DataFrame) -> pl.DataFrame:
        """See FeatureSource."""
        visible_from = pl.col(columns.TIMESTAMP).dt.offset_by(f"{VISIBLE_AFTER_US}us")
        visible = self.tables.interactions.select(
            columns.USER,
            visible_from,
            visible_from.dt.epoch("us").alias(columns.HISTORY_UNTIL),
            pl.int_range(pl.len(), dtype=pl.Int64).alias("_event"),
            pl.int_range(1, pl.len() + 1, dtype=pl.Int64).over(columns.USER).alias("_count"),
        )
        found = (
            requests.sort(columns.USER, columns.TIMESTAMP)
            .join_asof(
                visible.sort(columns.USER, columns.TIMESTAMP),
                on=columns.TIMESTAMP,
                by=columns.USER,
                check_sortedness=False,
            )
            .join(
                self.tables.users.select(*columns.USERS),
                on=columns.USER,
                how="left",
                maintain_order="left",
            )
        )
        length = found["_count"].fill_null(0).clip(upper_bound=self.history_length)
        lists = histories_ending(
            self.tables.interactions, found["_event"].fill_null(0).to_numpy(), length.to_numpy()
        )
        return found.hstack(lists).select(
            *REQUESTS, *(pl.col(name).cast(dtype) for name, dtype in USER_FEATURES.items())
        )

    def item_profiles(self, ids: pl.Series) -> pl.DataFrame:
        """See FeatureSource."""
        return _profiles(self.tables.items, ids, columns.ITEMS)

    def user_profiles(self, ids: pl.Series) -> pl.DataFrame:
        """See FeatureSource."""
        return _profiles(self.tables.users, ids, columns.USERS)

    def describe(self) -> dict[str, Any]:
        """See FeatureSource."""
        return {"source": "in process"}


def _profiles(table: pl.DataFrame, ids: pl.Series, schema: pl.Schema) -> pl.DataFrame:
    key = next(iter(schema))
    wanted = pl.DataFrame({key: ids})
    return wanted.join(table, on=key, how="left", maintain_order="left").select(*schema)


def histories_ending(
    interactions: pl.DataFrame, last: npt.NDArray[np.int64], length: npt.NDArray[np.int64]
) -> pl.DataFrame:
    """Gather, for each of R rows, the ``length`` events of an ordered log that end with ``last``.

    Args:
        interactions: Ordered interactions.
        last: (R,) row number of the newest event of each history.
        length: (R,) number of events, all of one user; 0 gives empty lists.

    Returns:
        (R,) list columns history, history_timestamps, history_positive; oldest event first.
    """
    offsets = np.concatenate([[0], np.cumsum(length)]).astype(np.int64)
    rows = np.repeat(last - length + 1 - offsets[:-1], length) + np.arange(offsets[-1])
    gathered = interactions.select(
        pl.col(columns.ITEM).alias(columns.HISTORY),
        pl.col(columns.TIMESTAMP).dt.epoch("us").alias(columns.HISTORY_TIMESTAMPS),
        pl.col(columns.POSITIVE).alias(columns.HISTORY_POSITIVE),
    )[rows]
    return pl.DataFrame(
        {
            column.name: pl.Series(
                pa.LargeListArray.from_arrays(pa.array(offsets), column.rechunk().to_arrow())
            )
            for column in gathered
        },
        schema={name: pl.List(dtype) for name, dtype in gathered.schema.items()},
    )


def lookup(requests: pl.DataFrame, source: FeatureSource) -> pl.DataFrame:
    """Ask a feature source and check its answer.

    Args:
        requests: Distinct user, timestamp, and ``earlier`` (EARLIER).
        source: The feature source.

    Returns:
        The requests in their order with USER_FEATURES, missing lists as empty lists.

    Raises:
        DataError: The source lost, doubled or changed a row, returned a feature that is not older
            than the instant asked for, or a history of the wrong length.
    """
    asked = requests.with_row_index(columns.REQUEST).select(
        pl.col(columns.REQUEST).cast(pl.Int64), columns.USER, columns.TIMESTAMP, EARLIER
    )
    answer = source.historical(asked.drop(EARLIER))
    absent = [name for name in (*REQUESTS, *USER_FEATURES) if name not in answer.columns]
    if absent:
        raise DataError(f"The feature source returned no column {', '.join(absent)}. {_NEXT}")
    answer = answer.select(
        pl.col(columns.REQUEST).cast(pl.Int64),
        pl.col(columns.USER).alias("_user"),
        pl.col(columns.TIMESTAMP).cast(columns.INSTANT).alias("_instant"),
        *(pl.col(name).cast(dtype) for name, dtype in USER_FEATURES.items()),
    ).with_columns(pl.col(LISTS).fill_null([]))
    distinct = answer[columns.REQUEST].n_unique()
    if len(answer) != len(asked) or distinct != len(asked):
        raise DataError(
            f"The feature source answered {len(asked)} requests with {len(answer)} rows, "
            f"{distinct} of them distinct; one row per request is allowed. {_NEXT}"
        )
    joined = asked.join(answer, on=columns.REQUEST, how="left", maintain_order="left")
    _check(joined, source.history_length)
    return joined.drop(columns.REQUEST, EARLIER, "_user", "_instant")


def _check(joined: pl.DataFrame, history_length: int) -> None:
    """Refuse answers that belong to another request, leak the future, or lost events."""
    instant = pl.col(columns.TIMESTAMP).dt.epoch("us")
    length = pl.col(columns.HISTORY).list.len()
    newest = pl.col(columns.HISTORY_TIMESTAMPS).list.last()
    expected = pl.min_horizontal(EARLIER, pl.lit(history_length))
    rules = {
        "belong to another user or instant": (
            pl.col("_user").eq_missing(pl.col(columns.USER))
            & pl.col("_instant").eq_missing(pl.col(columns.TIMESTAMP))
        ),
        "hold a feature that became visible only after the instant asked for": (
            pl.col(columns.HISTORY_UNTIL).fill_null(instant) <= instant
        ),
        "hold an event at or after the instant asked for": newest.is_null() | (newest < instant),
        "hold a history of the wrong length": length == expected,
        "hold history columns of different lengths": (
            (pl.col(columns.HISTORY_TIMESTAMPS).list.len() == length)
            & (pl.col(columns.HISTORY_POSITIVE).list.len() == length)
        ),
        "hold a history without the time it became visible": (
            (length == 0) == pl.col(columns.HISTORY_UNTIL).is_null()
        ),
    }
    for fault, rule in rules.items():
        broken = joined.filter(~rule.fill_null(False))
        if not broken.is_empty():
            row = broken.row(0, named=True)
            raise DataError(
                f"{len(broken)} of {len(joined)} answers of the feature source {fault}, first for "
                f"user {row[columns.USER]!r} at {row[columns.TIMESTAMP]}: history of "
                f"{len(row[columns.HISTORY])} events, visible from {row[columns.HISTORY_UNTIL]} "
                f"us; {row[EARLIER]} earlier events exist, at most {history_length} are kept. "
                f"{_NEXT}"
            )


_NEXT: Final = (
    "Nothing was written. Delete the folder features.state and run the stage again; if it fails "
    "again, the feature store's offline store breaks its contract (docs/features.md)."
)
