"""The window: the newest events after the end of the reference."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl

from counterpoint import artifacts, columns, tables
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


@dataclass(frozen=True)
class Data:
    """The canonical tables, with the interactions left on disk.

    Attributes:
        interactions: Old and new events.
        items: Items.
        users: Users.
    """

    interactions: pl.LazyFrame
    items: pl.DataFrame
    users: pl.DataFrame


def scan(folder: Path) -> Data:
    """Open the tables of a folder; memory depends on the window, not on the events before it.

    Raises:
        DataError: A file is missing.
    """
    missing = [name for name, _ in tables.FILES.values() if not (folder / name).is_file()]
    if missing:
        raise DataError(
            f"{folder} lacks {', '.join(missing)}. Monitoring reads the tables of validated or "
            "ingested data that hold the newest events. Run the stage that writes them first."
        )
    return Data(
        pl.scan_parquet(folder / artifacts.INTERACTIONS),
        pl.read_parquet(folder / artifacts.ITEMS),
        pl.read_parquet(folder / artifacts.USERS),
    )


def cut(config: MonitorConfig, interactions: pl.LazyFrame, reference: Reference) -> Window:
    """Cut the window out of the interactions.

    Args:
        config: Length, end and largest size.
        interactions: Canonical interactions, old and new.
        reference: The window never reaches back into it.

    Raises:
        DataError: There are no interactions at all.
    """
    last = interactions.select(pl.col(columns.TIMESTAMP).max()).collect().item()
    if last is None:
        raise DataError(
            "There are no interactions to monitor. Ingest the data that hold the newest events."
        )
    end = config.end or last
    start = max(end - timedelta(days=config.window_days), reference.end)
    stamps = pl.col(columns.TIMESTAMP)
    inside = interactions.filter((stamps > start) & (stamps <= end)).collect()
    users = inside[columns.USER].unique().sort()
    sampled = users.sample(min(config.max_users, len(users)), seed=config.seed)
    mine = pl.col(columns.USER).is_in(sampled.implode())
    return Window(
        start,
        end,
        inside.filter(mine),
        interactions.filter(mine & (stamps <= end)).collect(),
        len(inside),
        len(users),
    )


def compare(window: Window, reference: Reference, data: Data) -> Observations:
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


def items_of_both(reference: Reference, data: Data) -> pl.DataFrame:
    """Items of the reference with all that is known there, then the others; titles of today."""
    today = data.items.select(columns.ITEM, columns.TITLE, columns.ATTRIBUTES)
    today = today.unique(columns.ITEM, keep="first", maintain_order=True)
    old = reference.items.join(today.drop(columns.ATTRIBUTES), on=columns.ITEM, how="left")
    return pl.concat([old, today.join(old, on=columns.ITEM, how="anti")], how="diagonal")
