"""The window: the newest events after the end of the reference."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from counterpoint import columns, tables
from counterpoint.config.monitor import MonitorConfig
from counterpoint.errors import DataError
from counterpoint.monitoring.observations import (
    NEW_ITEM,
    NEW_USER,
    Observations,
    observe,
    pseudonyms,
    user_attributes,
)
from counterpoint.monitoring.reference import Reference


@dataclass(frozen=True)
class Window:
    """Events in (start, end].

    Attributes:
        start: The window begins after this instant.
        end: Its last instant.
        events: Canonical interactions of the sampled users in the window.
        past: All interactions up to ``end`` of the same users.
        rows: Events in the window before sampling.
        users: Users in the window before sampling.
    """

    start: datetime
    end: datetime
    events: pl.DataFrame
    past: pl.DataFrame
    rows: int
    users: int

    @property
    def length(self) -> timedelta:
        """Duration; zero or less if nothing is newer than the reference."""
        return self.end - self.start


def cut(config: MonitorConfig, interactions: pl.DataFrame, reference: Reference) -> Window:
    """Cut the window out of the interactions.

    Args:
        config: Length, end and largest size.
        interactions: Canonical interactions, old and new.
        reference: The window never reaches back into it.

    Raises:
        DataError: There are no interactions at all.
    """
    last = interactions[columns.TIMESTAMP].max()
    if not isinstance(last, datetime):
        raise DataError(
            "There are no interactions to monitor. Ingest the data that hold the newest events."
        )
    end = config.end or last
    start = max(end - timedelta(days=config.window_days), reference.end)
    stamps = pl.col(columns.TIMESTAMP)
    inside = interactions.filter((stamps > start) & (stamps <= end))
    users = inside[columns.USER].unique().sort()
    sampled = users.sample(min(config.max_users, len(users)), seed=config.seed)
    mine = pl.col(columns.USER).is_in(sampled.implode())
    return Window(
        start,
        end,
        inside.filter(mine),
        interactions.filter(mine & (stamps <= end)),
        len(inside),
        len(users),
    )


def compare(window: Window, reference: Reference, data: tables.Tables) -> Observations:
    """Put the events of the window beside those of the reference."""
    users = window.events[columns.USER].unique().sort()
    events = window.events.with_columns(
        pl.col(columns.USER).replace_strict(
            users, pseudonyms(users), return_dtype=reference.users.dtype
        )
    ).with_columns(
        (~pl.col(columns.USER).is_in(reference.users.implode())).alias(NEW_USER),
        (~pl.col(columns.ITEM).is_in(reference.items[columns.ITEM].implode())).alias(NEW_ITEM),
    )
    return observe(
        reference.events,
        events,
        pl.concat([user_attributes(data.users, users), reference.attributes]),
        start=reference.start,
        end=reference.end,
        length=window.length,
    )


def items_of_both(reference: Reference, data: tables.Tables) -> pl.DataFrame:
    """Items of the reference with all that is known there, then the others; titles of today."""
    today = data.items.select(columns.ITEM, columns.TITLE, columns.ATTRIBUTES)
    today = today.unique(columns.ITEM, keep="first", maintain_order=True)
    old = reference.items.join(today.drop(columns.ATTRIBUTES), on=columns.ITEM, how="left")
    return pl.concat([old, today.join(old, on=columns.ITEM, how="anti")], how="diagonal")
