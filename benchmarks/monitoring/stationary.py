"""How often monitoring calls drift where there is none, and where there is some.

Every user's whole activity is moved to a place in time drawn evenly, anew per round. Whatever
drifted in the data is gone: each window is a sample of the distribution of the reference, with real
sessions, real returning users and real tastes.
"""

import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.monitoring.shifts import PLANTED, Shift, none
from counterpoint import columns, splits, tables
from counterpoint.baselines import ease
from counterpoint.config import MonitorConfig, SplitConfig
from counterpoint.histories import Histories, Scorer, from_events, order_events
from counterpoint.monitoring import reference as stored
from counterpoint.monitoring import snapshot
from counterpoint.progress import track
from counterpoint.stages import monitor

FRACTION = 0.6
"""Share of the events that the reference holds."""

LEVEL = 0.05
"""Without drift a signal's p-value falls to this level or below in this share of the windows."""


@dataclass
class Tally:
    """What was said about all windows of one kind.

    Attributes:
        windows: Number of windows.
        verdicts: Verdict -> windows.
        drifted: Signal -> windows in which it drifted.
        significant: Signal -> windows in which its own p-value is at most ``LEVEL``.
    """

    windows: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    drifted: Counter[str] = field(default_factory=Counter)
    significant: Counter[str] = field(default_factory=Counter)

    def record(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        return {
            name: value if isinstance(value, int) else dict(value)
            for name, value in vars(self).items()
        }


@dataclass(frozen=True)
class Ease:
    """EASE with the catalogue that monitoring asks for."""

    item_ids: list[str]
    scorer: Scorer

    def score(self, histories: Histories) -> np.ndarray:
        """Return (U, N) scores."""
        return self.scorer.score(histories)


def total(parts: Iterable[dict[str, Tally]]) -> dict[str, Tally]:
    """Add up the tallies of several runs."""
    summed: dict[str, Tally] = {}
    for part in parts:
        for name, tally in part.items():
            into = summed.setdefault(name, Tally())
            into.windows += tally.windows
            into.verdicts += tally.verdicts
            into.drifted += tally.drifted
            into.significant += tally.significant
    return summed


def measure(
    data: tables.Tables,
    vectors: np.ndarray,
    *,
    windows: int,
    days: int,
    seed: int,
) -> dict[str, Tally]:
    """Return kind of window -> tally.

    Args:
        data: Canonical tables.
        vectors: (N, D) text vectors of ``data.items``.
        windows: Unchanged windows to look at; a tenth as many of each planted change.
        days: Length of a window.
        seed: Of the rounds.
    """
    tallies = {name: Tally() for name in ("unchanged", *PLANTED)}
    wanted = {"unchanged": windows} | dict.fromkeys(PLANTED, windows // 10)
    shifts: dict[str, Shift] = {"unchanged": none, **PLANTED}
    for work in track(_rounds(data, vectors, days=days, seed=seed), "Windows", total=None):
        for name, shift in shifts.items():
            if tallies[name].windows < wanted[name]:
                _look(work, shift, data, tallies[name], days=days, seed=seed)
        if all(tallies[name].windows >= wanted[name] for name in wanted):
            break
    return tallies


@dataclass(frozen=True)
class Round:
    """One shuffled history and one window of it."""

    rows: pl.DataFrame
    champion: Ease
    reference: stored.Reference
    start: datetime


def _rounds(data: tables.Tables, vectors: np.ndarray, *, days: int, seed: int) -> Iterator[Round]:
    length = timedelta(days=days)
    number = seed
    while True:
        rows = _shuffled(data.interactions, number)
        number += 1
        until, last = (rows[columns.TIMESTAMP].quantile(q) for q in (FRACTION, 1.0))
        assert isinstance(until, datetime) and isinstance(last, datetime), "there are events"
        early = rows.filter(pl.col(columns.TIMESTAMP) <= until)
        folded = splits.assign(order_events(early, seed=0), SplitConfig())
        champion = _fit(folded, data.items[columns.ITEM].to_list())
        taken = snapshot.build(
            tables.Tables(folded, data.items, data.users), champion, vectors=vectors
        )
        start = until
        while start + length <= last:
            yield Round(rows, champion, taken, start)
            start += length


def _shuffled(interactions: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Let every user begin at an instant drawn evenly from the whole period."""
    stamps = interactions[columns.TIMESTAMP]
    begin, end = stamps.min(), stamps.max()
    assert isinstance(begin, datetime) and isinstance(end, datetime), "there are events"
    users = interactions[columns.USER].unique().sort()
    shift = np.random.default_rng(seed).random(len(users)) * ((end - begin) / timedelta(seconds=1))
    moves = pl.DataFrame(
        {columns.USER: users, "_shift": (shift * 1e6).astype(np.int64)}
    ).with_columns(pl.duration(microseconds="_shift").alias("_shift"))
    first = pl.col(columns.TIMESTAMP).min().over(columns.USER)
    moved = pl.lit(begin) + pl.col("_shift") + (pl.col(columns.TIMESTAMP) - first)
    # Activity that would run past the end goes on at the beginning.
    wrapped = pl.when(moved > end).then(moved - pl.lit(end - begin)).otherwise(moved)
    return (
        interactions.join(moves, on=columns.USER)
        .with_columns(wrapped.alias(columns.TIMESTAMP))
        .select(interactions.columns)
    )


def _fit(folded: pl.DataFrame, item_ids: list[str]) -> Ease:
    index = {item: place for place, item in enumerate(item_ids)}
    known = splits.fit_events(folded, "final")
    users = known[columns.USER].unique().sort().to_list()
    histories = from_events(known, index, user_ids=users)
    return Ease(item_ids, ease.fit(histories, n_items=len(index), config=ease.Config()))


def _look(
    work: Round, shift: Shift, data: tables.Tables, tally: Tally, *, days: int, seed: int
) -> None:
    end = work.start + timedelta(days=days)
    stamps = pl.col(columns.TIMESTAMP)
    window = work.rows.filter((stamps > work.start) & (stamps <= end))
    rows = pl.concat([work.rows.filter(stamps <= work.start), shift(window, data.items)])
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        tables.write(tables.Tables(rows, data.items, data.users), place / "data")
        stored.save(work.reference, place / "reference")
        config = MonitorConfig(
            window_days=days,
            window_end=end.isoformat(),
            state=str(place / "state"),
            evidently_rows=0,
            seed=seed,
        )
        result = monitor.run(
            config,
            interactions=place / "data",
            reference=place / "reference",
            model=None,
            champion=work.champion,
            monitoring=place / "monitoring",
        )
        verdict = tables.read_json(place / "monitoring" / "verdict.json")
    if result.verdict == "insufficient_data":
        return
    tally.windows += 1
    tally.verdicts[result.verdict] += 1
    for signal in verdict["signals"]:
        tally.drifted[signal["name"]] += signal["drifted"]
        if signal["counted"]:
            tally.significant[signal["name"]] += signal["p_value"] <= LEVEL
