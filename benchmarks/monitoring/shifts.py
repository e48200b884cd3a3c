"""Changes planted into the events of a window."""

from collections.abc import Callable

import polars as pl

from counterpoint import columns

Shift = Callable[[pl.DataFrame, pl.DataFrame], pl.DataFrame]
"""(events of the window, items) -> changed events."""


def none(events: pl.DataFrame, items: pl.DataFrame) -> pl.DataFrame:
    """Leave the window as it is."""
    return events


def genres(events: pl.DataFrame, items: pl.DataFrame) -> pl.DataFrame:
    """Let the users turn away from drama: two of three events on dramas are gone."""
    dramas = items.filter(pl.col(columns.ATTRIBUTES).list.contains("genre=Drama"))[columns.ITEM]
    kept = pl.col(columns.ROW).hash(1) % 3 == 0
    return events.filter(~pl.col(columns.ITEM).is_in(dramas.implode()) | kept)


def flipped_ratings(events: pl.DataFrame, items: pl.DataFrame) -> pl.DataFrame:
    """Turn the scale around, as a broken client would: five stars become one."""
    flipped = events.with_columns((6 - pl.col(columns.VALUE)).alias(columns.VALUE))
    return flipped.with_columns((pl.col(columns.VALUE) >= 4).alias(columns.POSITIVE))


def renumbered_items(events: pl.DataFrame, items: pl.DataFrame) -> pl.DataFrame:
    """Mix up the item ids, as a wrong join would: every item gets another one's id."""
    ids = items[columns.ITEM].sort()
    return events.with_columns(
        pl.col(columns.ITEM).replace_strict(ids, ids.shuffle(seed=0), default=None)
    ).drop_nulls(columns.ITEM)


def new_catalogue(events: pl.DataFrame, items: pl.DataFrame) -> pl.DataFrame:
    """Make a quarter of the items ones that were never seen before."""
    fresh = pl.col(columns.ITEM).hash(2) % 4 == 0
    renamed = "new-" + pl.col(columns.ITEM)
    return events.with_columns(
        pl.when(fresh).then(renamed).otherwise(columns.ITEM).alias(columns.ITEM)
    )


PLANTED: dict[str, Shift] = {
    "two thirds of drama gone": genres,
    "ratings flipped": flipped_ratings,
    "item ids mixed up": renumbered_items,
    "a quarter of the items new": new_catalogue,
}
