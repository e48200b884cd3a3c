"""An early model of MovieLens-100K and the windows that came after it."""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl

from benchmarks.monitoring.shifts import PLANTED
from counterpoint import artifacts, columns, examples, splits, tables, training
from counterpoint.config import FeaturesConfig, MonitorConfig, SplitConfig, TrainConfig
from counterpoint.histories import order_events
from counterpoint.monitoring.champion import write_reference
from counterpoint.stages import monitor

logger = logging.getLogger(__name__)

HELD_OUT = 6
"""One user in this many makes a window of the very same period: half of them are kept from the
model entirely, as new users, the others with the second half of their events."""


@dataclass(frozen=True)
class Watched:
    """What monitoring said about one window."""

    window: str
    starts: str
    events: int
    users: int
    verdict: str
    drifted: str
    expected: float | None
    realised: float | None


def train(
    data: tables.Tables, until: datetime, config: TrainConfig, folder: Path, *, seed: int
) -> None:
    """Train on the events up to ``until``, without the held-out users; write model and reference.

    Args:
        data: All canonical tables.
        until: Last instant the model may know.
        config: Settings of the model.
        folder: Gets ``features``, ``model`` and ``reference``.
        seed: Of the order of ties and the examples.
    """
    early = data.interactions.filter(pl.col(columns.TIMESTAMP) <= until).filter(~_held_out())
    folded = splits.assign(order_events(early, seed=seed), SplitConfig())
    features = folder / "features"
    tables.write(tables.Tables(folded, data.items, data.users), features)
    # The features stage keeps the folds beside the canonical columns.
    folded.write_parquet(features / artifacts.INTERACTIONS)
    drawn = examples.plain_examples(folded, data.users, FeaturesConfig(seed=seed))
    model = training.fit(folded, data.items, data.users, drawn, config, workdir=folder / "work")
    model.save(folder / "model")
    write_reference(features, folder / "model", None, folder / "reference")


def watch(
    data: tables.Tables, until: datetime, folder: Path, *, days: int, seed: int
) -> list[Watched]:
    """Monitor every later window, the held-out users, and planted changes of the next window."""
    length = timedelta(days=days)
    early = pl.col(columns.TIMESTAMP) <= until
    known = data.interactions.filter(early).filter(~_held_out())
    later = pl.concat([known, data.interactions.filter(~early)])
    last = later[columns.TIMESTAMP].max()
    assert isinstance(last, datetime), "MovieLens has events"
    found = [
        _one("held-out users of the same period", _moved(data.interactions, until, length), until)
    ]
    start = until
    while start < last:
        found.append(_one("next" if start == until else "later", later, start))
        start += length
    window = pl.col(columns.TIMESTAMP) > until
    for name, shift in PLANTED.items():
        changed = shift(later.filter(window), data.items)
        found.append(_one(f"next, {name}", pl.concat([later.filter(~window), changed]), until))
    return [
        _watch(name, tables.Tables(rows, data.items, data.users), at, length, folder, seed=seed)
        for name, rows, at in found
    ]


def _one(name: str, rows: pl.DataFrame, start: datetime) -> tuple[str, pl.DataFrame, datetime]:
    return name, rows, start


def _held_out() -> pl.Expr:
    """Events that the early model does not see although they are early."""
    chosen = pl.col(columns.USER).hash(0) % HELD_OUT == 0
    new = pl.col(columns.USER).hash(1) % 2 == 0
    place = pl.col(columns.TIMESTAMP).rank("ordinal").over(columns.USER)
    return chosen & (new | (place > pl.len().over(columns.USER) // 2))


def _moved(interactions: pl.DataFrame, until: datetime, length: timedelta) -> pl.DataFrame:
    """The early events with the held-out ones moved into the window after ``until``."""
    early = interactions.filter(pl.col(columns.TIMESTAMP) <= until)
    held = early.filter(_held_out())
    stamps = pl.col(columns.TIMESTAMP)
    since = stamps - stamps.min().over(columns.USER)
    # Only users whose held-out events fit, so that no session is torn.
    half = length // timedelta(microseconds=2)
    first = pl.duration(microseconds=1 + pl.col(columns.USER).hash(3) % half)
    moved = held.with_columns((pl.lit(until) + first + since).alias(columns.TIMESTAMP))
    fits = since.max().over(columns.USER) < length / 2
    return pl.concat([early.filter(~_held_out()), moved.filter(fits)])


def _watch(
    name: str,
    data: tables.Tables,
    start: datetime,
    length: timedelta,
    folder: Path,
    *,
    seed: int,
) -> Watched:
    place = folder / "windows" / f"{name} {start:%Y-%m-%d}"
    tables.write(data, place / "data")
    config = MonitorConfig(
        window_days=length / timedelta(days=1),
        window_end=(start + length).isoformat(),
        state=str(place / "state"),
        evidently_rows=0,
        seed=seed,
    )
    result = monitor.run(
        config,
        interactions=place / "data",
        reference=folder / "reference",
        model=folder / "model",
        monitoring=place / "monitoring",
    )
    verdict = tables.read_json(place / "monitoring" / artifacts.MONITORING_VERDICT)
    signals = {signal["name"]: signal for signal in verdict["signals"]}
    quality = signals.get("quality", {})
    return Watched(
        name,
        f"{start:%Y-%m-%d}",
        int(result.figures["events"]),
        int(result.figures["users"]),
        result.verdict,
        ", ".join(f"{s['name']} {s['effect']:.2f}" for s in verdict["signals"] if s["drifted"]),
        quality.get("reference"),
        quality.get("current"),
    )
