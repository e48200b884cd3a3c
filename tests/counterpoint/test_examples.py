from dataclasses import dataclass

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings

from counterpoint import columns, examples
from counterpoint.config import FeaturesConfig
from counterpoint.errors import DataError
from counterpoint.histories import VISIBLE_AFTER_US
from counterpoint.point_in_time import EARLIER, PlainFeatures
from counterpoint.splits import FITS
from counterpoint.tables import Tables
from tests.counterpoint import logs


def brute_force(cut: dict, log: pl.DataFrame, config: FeaturesConfig) -> dict:
    """The example of one cut, from its definition."""
    mine = log.filter(pl.col(columns.USER) == cut[columns.USER]).to_dicts()
    instant = cut[columns.TIMESTAMP]
    before = [e for e in mine if e[columns.TIMESTAMP] < instant]
    seen = {e[columns.ITEM] for e in before}
    targets: list[str] = []
    for event in mine:
        allowed = event[columns.FOLD] in FITS[cut[columns.FIT]] and event[columns.POSITIVE]
        if event[columns.TIMESTAMP] < instant or not allowed:
            continue
        if event[columns.ITEM] not in seen and event[columns.ITEM] not in targets:
            targets.append(event[columns.ITEM])
    kept = before[-config.history_length :]
    return {
        columns.HISTORY: [e[columns.ITEM] for e in kept],
        columns.HISTORY_POSITIVE: [e[columns.POSITIVE] for e in kept],
        columns.TARGETS: targets[: config.targets],
    }


@given(logs.rows())
@settings(max_examples=150, deadline=None)
def test_examples_follow_from_their_definition(rows: list[tuple[int, int, int, bool]]) -> None:
    config = logs.config()
    source = logs.tables(rows)
    log = logs.folded(source, config)

    drawn = examples.plain_examples(log, source.users, config)

    assert drawn.schema == columns.EXAMPLES
    assert drawn[columns.EXAMPLE].to_list() == list(range(len(drawn)))
    profiles = dict(source.users.iter_rows())
    for example in drawn.iter_rows(named=True):
        expected = brute_force(example, log, config)
        assert {name: example[name] for name in expected} == expected
        assert example[columns.TARGETS]
        assert example[columns.ATTRIBUTES] == (profiles.get(example[columns.USER]) or [])
        instant = int(example[columns.TIMESTAMP].timestamp() * 1e6 + 0.5)
        assert all(stamp < instant for stamp in example[columns.HISTORY_TIMESTAMPS])
        assert len(example[columns.HISTORY_TIMESTAMPS]) == len(example[columns.HISTORY])


@given(logs.rows())
@settings(max_examples=100, deadline=None)
def test_every_user_with_a_target_gives_distinct_cuts(
    rows: list[tuple[int, int, int, bool]],
) -> None:
    config = logs.config()
    log = logs.folded(logs.tables(rows), config)
    cuts = examples.draw_all(log, config)

    keys = [columns.FIT, columns.USER, columns.TIMESTAMP]
    assert cuts.select(keys).is_duplicated().sum() == 0
    counts = {(f, u): n for f, u, n in cuts.group_by(columns.FIT, columns.USER).len().iter_rows()}
    for fit, folds in FITS.items():
        events = log.filter(pl.col(columns.FOLD).is_in(folds))
        for (user,), mine in events.group_by(columns.USER):
            possible = sum(
                bool(
                    brute_force(
                        {columns.USER: user, columns.TIMESTAMP: t, columns.FIT: fit}, log, config
                    )[columns.TARGETS]
                )
                for t in mine[columns.TIMESTAMP]
            )
            assert counts.get((fit, user), 0) == min(possible, config.examples_per_user)


def long_log(users: int = 4, events: int = 200) -> pl.DataFrame:
    rng = np.random.default_rng(0)
    rows = [
        (u, int(rng.integers(0, 9)) + 10 * e, 10 * e, True)
        for u in range(users)
        for e in range(events)
    ]
    return logs.folded(logs.tables(rows), logs.config())


def test_cuts_are_spread_evenly_and_in_random_order() -> None:
    log = long_log()
    cuts = examples.draw_cuts(
        log, "final", examples_per_user=10, max_examples=1000, targets=3, seed=0
    )
    for (_,), mine in cuts.group_by(columns.USER, maintain_order=True):
        positions = mine[EARLIER].to_list()
        assert len(positions) == 10
        # 160 of 200 events may be targets: one cut in each tenth of them.
        assert sorted(position // 16 for position in positions) == list(range(10))
        assert positions != sorted(positions)


def test_the_draw_depends_on_the_seed_alone() -> None:
    log = long_log()
    config = logs.config()
    first = examples.draw_all(log, config)
    assert first.equals(examples.draw_all(log, config))
    assert not first.equals(examples.draw_all(log, config.model_copy(update={"seed": 1})))


@pytest.mark.parametrize("limit", [1, 3, 7, 12])
def test_the_bound_spreads_the_examples_over_the_users(limit: int) -> None:
    cuts = examples.draw_cuts(
        long_log(), "choose", examples_per_user=5, max_examples=limit, targets=3, seed=0
    )
    counts = cuts.group_by(columns.USER).len()["len"]
    assert len(cuts) == limit
    assert counts.max() - (counts.min() if len(counts) == 4 else 0) <= 1


def test_items_seen_before_the_cut_are_no_targets() -> None:
    # i1 is viewed at 0 and bought at 20: it is a target of the first cut alone.
    rows = [(1, 1, 0, False), (1, 2, 10, True), (1, 1, 20, True), (1, 3, 30, True)]
    log = logs.folded(logs.tables(rows), logs.config()).with_columns(fold=pl.lit("train"))
    cuts = examples.draw_cuts(
        log, "choose", examples_per_user=9, max_examples=9, targets=9, seed=0
    ).sort(EARLIER)
    assert cuts[columns.TARGETS].to_list() == [["i2", "i1", "i3"], ["i2", "i3"], ["i3"], ["i3"]]


def test_chunks_hold_every_cut_once_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    log = long_log()
    cuts = examples.draw_all(log, logs.config())
    monkeypatch.setattr(examples, "CHUNK_PAIRS", 1000)
    parts = list(examples.chunks(cuts, log))
    assert len(parts) > 3
    assert pl.concat(parts).equals(cuts)


@dataclass(frozen=True)
class Broken(PlainFeatures):
    """A feature source with one fault."""

    fault: str = ""

    def historical(self, requests: pl.DataFrame) -> pl.DataFrame:
        good = super().historical(requests)
        instant = pl.col(columns.TIMESTAMP).dt.epoch("us")
        match self.fault:
            case "lost":
                return good.slice(1)
            case "doubled":
                return pl.concat([good, good.slice(0, 1)])
            case "replaced":
                return pl.concat([good.slice(0, 1), good.slice(0, 1), good.slice(2)])
            case "future_feature":
                return good.with_columns((instant + 1).alias(columns.HISTORY_UNTIL))
            case "label_in_history":
                stamps = pl.concat_list(
                    pl.col(columns.HISTORY_TIMESTAMPS).list.slice(1), instant.cast(pl.Int64)
                )
                return good.with_columns(stamps.alias(columns.HISTORY_TIMESTAMPS))
            case "shortened":
                return good.with_columns(
                    pl.col(
                        columns.HISTORY, columns.HISTORY_TIMESTAMPS, columns.HISTORY_POSITIVE
                    ).list.slice(1)
                )
            case "ragged":
                return good.with_columns(pl.col(columns.HISTORY_POSITIVE).list.slice(1))
            case "shuffled":
                return good.with_columns(pl.col(columns.REQUEST).reverse())
            case "no_proof":
                return good.with_columns(pl.lit(None).alias(columns.HISTORY_UNTIL))
            case "no_column":
                return good.drop(columns.ATTRIBUTES)
        raise AssertionError(self.fault)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("lost", "one row per request"),
        ("doubled", "one row per request"),
        ("replaced", "one row per request"),
        ("future_feature", "visible only after"),
        ("label_in_history", "at or after the instant"),
        ("shortened", "wrong length"),
        ("ragged", "different lengths"),
        ("shuffled", "another user or instant"),
        ("no_proof", "without the time"),
        ("no_column", "no column attributes"),
    ],
)
def test_a_broken_source_is_refused(fault: str, message: str) -> None:
    config = logs.config()
    log = long_log()
    source = Tables(log, columns.ITEMS.to_frame(), columns.USERS.to_frame())
    cuts = examples.draw_all(log, config).filter(pl.col(EARLIER) > 0)
    with pytest.raises(DataError, match=message):
        examples.attach(cuts, Broken(source, config.history_length, fault))
    assert len(examples.attach(cuts, PlainFeatures(source, config.history_length))) == len(cuts)


def test_an_event_is_invisible_at_its_own_instant_and_visible_after() -> None:
    source = logs.ordered(logs.tables([(1, 1, 0, True), (1, 2, 5, True)]), logs.config())
    stamp = source.interactions[columns.TIMESTAMP][0]
    requests = pl.DataFrame(
        {
            columns.REQUEST: [0, 1],
            columns.USER: ["01", "01"],
            columns.TIMESTAMP: [stamp, stamp],
        },
        schema_overrides={columns.TIMESTAMP: columns.INSTANT},
    ).with_columns(
        pl.col(columns.TIMESTAMP)
        + pl.duration(microseconds=pl.col(columns.REQUEST) * VISIBLE_AFTER_US)
    )
    answer = PlainFeatures(source, 5).historical(requests).sort(columns.REQUEST)
    assert answer[columns.HISTORY].to_list() == [[], ["i1"]]
