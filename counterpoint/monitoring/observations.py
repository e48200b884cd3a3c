"""Events of the reference and of the window, cut into slices, as counts per unit and signal."""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from counterpoint import columns
from counterpoint.monitoring.units import Units

UNIT = "unit"
SLICE = "slice"
NEW_USER = "new_user"
NEW_ITEM = "new_item"
USER_FIRST = "user_first"
ITEM_FIRST = "item_first"

SAMPLE = pl.Schema(
    {
        columns.USER: pl.UInt64(),
        columns.ITEM: pl.String(),
        columns.TIMESTAMP: columns.INSTANT,
        columns.EVENT: pl.String(),
        columns.VALUE: pl.Float64(),
        columns.POSITIVE: pl.Boolean(),
        USER_FIRST: columns.INSTANT,
        ITEM_FIRST: columns.INSTANT,
    }
)
"""Sampled events of the reference; ``*_first`` is the first event of the user or item anywhere."""


def pseudonyms(user_ids: pl.Series) -> pl.Series:
    """Return 64-bit BLAKE2b digests of the user ids; stable across runs and machines."""
    digests = [
        int.from_bytes(hashlib.blake2b(u.encode(), digest_size=8).digest()) for u in user_ids
    ]
    return pl.Series(columns.USER, digests, dtype=pl.UInt64)


def user_attributes(users: pl.DataFrame, wanted: pl.Series) -> pl.DataFrame:
    """Return pseudonym and attribute tokens of the wanted users."""
    kept = users.filter(pl.col(columns.USER).is_in(wanted.implode())).unique(columns.USER)
    return kept.select(
        pl.lit(pseudonyms(kept[columns.USER])).alias(columns.USER), columns.ATTRIBUTES
    ).sort(columns.USER)


@dataclass(frozen=True)
class Observations:
    """Events of both sides by unit.

    Attributes:
        events: One row per event with ``unit``, item, timestamp, event, value, positive,
            ``new_user``, ``new_item``.
        units: The n units.
        attributes: One row per unit and user attribute token: ``unit``, ``attributes``.
    """

    events: pl.DataFrame
    units: Units
    attributes: pl.DataFrame

    def __len__(self) -> int:
        return len(self.units.users)


def observe(
    reference: pl.DataFrame,
    window: pl.DataFrame,
    attributes: pl.DataFrame,
    *,
    start: datetime,
    end: datetime,
    length: timedelta,
) -> Observations:
    """Cut the reference into slices as long as the window and number the units of both sides.

    The oldest, shorter slice of the reference is left out unless it is the only one.

    Args:
        reference: Events with the schema ``SAMPLE``.
        window: The same without ``*_first``, with ``new_user`` and ``new_item``.
        attributes: user, attributes (list of tokens) of the users of both sides.
        start: First instant of the reference.
        end: Last instant of the reference.
        length: Length of the window.
    """
    microseconds = max(1, length // timedelta(microseconds=1))
    whole = max(1, (end - start) // timedelta(microseconds=1) // microseconds)
    back = (pl.lit(end) - pl.col(columns.TIMESTAMP)).dt.total_microseconds() // microseconds
    begin = pl.lit(end) - pl.duration(microseconds=microseconds) * (pl.col(SLICE) + 1)
    old = (
        reference.with_columns(back.alias(SLICE))
        .filter(pl.col(SLICE) < whole)
        .with_columns(
            (pl.col(USER_FIRST) > begin).alias(NEW_USER),
            (pl.col(ITEM_FIRST) > begin).alias(NEW_ITEM),
        )
        .drop(USER_FIRST, ITEM_FIRST)
    )
    new = window.with_columns(pl.lit(-1, dtype=pl.Int64).alias(SLICE)).select(old.columns)
    events = pl.concat([old, new])
    units = events.select(columns.USER, SLICE).unique().sort(columns.USER, SLICE)
    units = units.with_row_index(UNIT)
    codes = units[columns.USER].rank("dense").cast(pl.Int64).to_numpy()
    tokens = (
        units.join(attributes.unique(columns.USER), on=columns.USER)
        .select(UNIT, columns.ATTRIBUTES)
        .explode(columns.ATTRIBUTES)
        .drop_nulls()
    )
    return Observations(
        events.join(units, on=[columns.USER, SLICE]).drop(columns.USER, SLICE),
        Units(codes, units[SLICE].to_numpy()),
        tokens,
    )
