"""Users who behave unlike people: reported, never removed, since the rules cannot tell why."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from counterpoint import artifacts, columns
from counterpoint.config.validation import ValidationConfig

MIN_SPREAD = 0.5
"""Floor of the spread of log counts, so that a data set of equal users has no outliers."""

ROBUST_SD = 1.4826
"""Median absolute deviation -> standard deviation of a normal distribution."""


@dataclass(frozen=True)
class Anomaly:
    """Users that stand out.

    Attributes:
        kind: Short name.
        message: For people.
        users: How many.
        examples: User id -> the figure that stands out, largest first.
    """

    kind: str
    message: str
    users: int
    examples: dict[str, float]


def detect(validated: Path, config: ValidationConfig, *, timed: bool) -> list[Anomaly]:
    """Look for implausible bursts and for outliers of activity.

    Args:
        validated: Folder of the accepted tables.
        config: Bounds.
        timed: The data set has timestamps.
    """
    events = pl.scan_parquet(validated / artifacts.INTERACTIONS)
    counts = events.group_by(columns.USER).agg(pl.len().alias("events")).collect(engine="streaming")
    found = [_heavy(counts, config)]
    if timed and _finer_than_minutes(events):
        found.append(_bursts(events, counts, config))
    return [anomaly for anomaly in found if anomaly.users]


def _heavy(counts: pl.DataFrame, config: ValidationConfig) -> Anomaly:
    size = pl.col("events").log1p()
    spread = (size - size.median()).abs().median() * ROBUST_SD
    deviation = (size - size.median()) / pl.max_horizontal(spread, pl.lit(MIN_SPREAD))
    outliers = counts.filter(deviation > config.activity_deviations)
    return _anomaly(
        "activity",
        outliers,
        f"an activity more than {config.activity_deviations:g} robust standard deviations above "
        "the median user's",
        config,
    )


def _bursts(events: pl.LazyFrame, counts: pl.DataFrame, config: ValidationConfig) -> Anomaly:
    active = counts.filter(pl.col("events") > config.events_per_minute)[columns.USER]
    minute = pl.col(columns.TIMESTAMP).dt.truncate("1m")
    peaks = (
        events.filter(pl.col(columns.USER).is_in(active.implode()))
        .group_by(columns.USER, minute)
        .agg(pl.len().alias("events"))
        .group_by(columns.USER)
        .agg(pl.col("events").max())
        .filter(pl.col("events") > config.events_per_minute)
        .collect(engine="streaming")
    )
    return _anomaly("burst", peaks, f"more than {config.events_per_minute} events a minute", config)


def _finer_than_minutes(events: pl.LazyFrame) -> bool:
    """Times that are dates or whole hours say nothing about minutes."""
    stamp = pl.col(columns.TIMESTAMP)
    finer = events.select((stamp != stamp.dt.truncate("1m")).any())
    return bool(finer.collect(engine="streaming").item())


def _anomaly(kind: str, users: pl.DataFrame, what: str, config: ValidationConfig) -> Anomaly:
    top = users.sort("events", columns.USER, descending=[True, False]).head(config.examples)
    examples = dict(top.select(columns.USER, "events").iter_rows())
    shown = ", ".join(f"{user} ({events})" for user, events in examples.items())
    count = f"{len(users)} user{'' if len(users) == 1 else 's'}"
    return Anomaly(kind, f"{count} with {what}, such as {shown}", len(users), examples)
