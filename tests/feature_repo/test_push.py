import itertools
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from counterpoint import columns
from counterpoint.errors import DataError
from counterpoint.point_in_time import PlainFeatures
from counterpoint.tables import Tables
from feature_repo.push import push_events
from feature_repo.store import FeatureRepository
from tests.counterpoint import logs
from tests.feature_repo.conftest import LENGTH

LATER = logs.START + timedelta(days=1)


@pytest.fixture
def fresh(
    build: Callable[[Path, Tables], FeatureRepository], source: Tables, tmp_path: Path
) -> FeatureRepository:
    made = build(tmp_path, source)
    made.materialise()
    return made


def event(user: str, item: str, seconds: float, positive: bool = True) -> dict[str, object]:
    return {
        columns.USER: user,
        columns.ITEM: item,
        columns.TIMESTAMP: LATER + timedelta(seconds=seconds),
        columns.POSITIVE: positive,
    }


def history(repository: FeatureRepository, user: str) -> list[str]:
    return repository.online([user])[columns.HISTORY][0].to_list()


def test_any_order_and_repetition_gives_the_same_history(
    fresh: FeatureRepository,
) -> None:
    events = [event("new", "a", 0), event("new", "b", 10, False), event("new", "c", 20)]
    for number, order in enumerate(itertools.permutations(events)):
        user = f"new {number}"
        mine = [{**e, columns.USER: user} for e in order]
        for one in mine:
            assert push_events(fresh, pl.DataFrame([one])) == 1
        assert push_events(fresh, pl.DataFrame([*mine, mine[0]])) == 0
        row = fresh.online([user]).row(0, named=True)
        assert row[columns.HISTORY] == ["a", "b", "c"]
        assert row[columns.HISTORY_POSITIVE] == [True, False, True]
        assert row[columns.HISTORY_UNTIL] == row[columns.HISTORY_TIMESTAMPS][-1] + 1


def test_pushed_events_equal_a_store_built_with_them(
    fresh: FeatureRepository, source: Tables
) -> None:
    pushed = [event(u, f"i{n}", n * 7) for n, u in enumerate(logs.STRANGE_USERS[:4] * 3)]
    assert push_events(fresh, pl.DataFrame(pushed)) == 4
    frame = pl.DataFrame(pushed, schema_overrides={columns.TIMESTAMP: columns.INSTANT})
    added = frame.with_columns(
        (pl.int_range(pl.len(), dtype=pl.Int64) + 10_000).alias(columns.ROW),
        pl.lit("click").alias(columns.EVENT),
        pl.lit(None, dtype=pl.Float64).alias(columns.VALUE),
    ).select(*columns.INTERACTIONS)
    later = Tables(pl.concat([source.interactions, added]), source.items, source.users)
    plain = (
        PlainFeatures(logs.ordered(later, logs.config()), LENGTH)
        .historical(
            pl.DataFrame(
                {columns.USER: logs.STRANGE_USERS, columns.REQUEST: range(10)}
            ).with_columns(
                pl.lit(LATER + timedelta(days=1)).cast(columns.INSTANT).alias(columns.TIMESTAMP)
            )
        )
        .sort(columns.REQUEST)
    )
    online = fresh.online(logs.STRANGE_USERS)
    for name in (columns.HISTORY, columns.HISTORY_TIMESTAMPS, columns.HISTORY_POSITIVE):
        assert online[name].to_list() == plain[name].to_list()


def test_a_late_event_takes_its_place_and_newer_ones_stay(fresh: FeatureRepository) -> None:
    before = history(fresh, "1")
    push_events(fresh, pl.DataFrame([event("1", "newest", 100)]))
    push_events(fresh, pl.DataFrame([event("1", "late", 50)]))
    assert history(fresh, "1") == [*before, "late", "newest"][-LENGTH:]
    ancient = {
        **event("1", "ancient", 0),
        columns.TIMESTAMP: datetime.fromtimestamp(0, LATER.tzinfo),
    }
    assert push_events(fresh, pl.DataFrame([ancient])) == 0


def test_an_older_history_is_refused(fresh: FeatureRepository, source: Tables) -> None:
    stored = fresh.online(["01", "1"]).drop(columns.ATTRIBUTES)
    older = stored.with_columns(
        pl.col(columns.HISTORY_UNTIL) - pl.Series([0, 1]),
        pl.lit(LATER).cast(columns.INSTANT).alias(columns.FEATURE_TIMESTAMP),
    )
    with pytest.raises(DataError, match="1 of 2 pushed histories are older"):
        fresh.push(older)
    assert fresh.online(["01", "1"]).drop(columns.ATTRIBUTES).equals(stored)


def test_events_of_one_instant_are_all_kept(fresh: FeatureRepository) -> None:
    push_events(fresh, pl.DataFrame([event("tie", item, 0) for item in "abc"]))
    push_events(fresh, pl.DataFrame([event("tie", item, 0) for item in "dcb"]))
    row = fresh.online(["tie"]).row(0, named=True)
    assert sorted(row[columns.HISTORY]) == ["a", "b", "c", "d"]
    stamps = row[columns.HISTORY_TIMESTAMPS]
    assert stamps == sorted(set(stamps))


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pl.DataFrame({columns.USER: ["u"]}), "lack item_id, timestamp, positive"),
        (pl.DataFrame([event("u", "i", 0) | {columns.ITEM: None}]), "nulls in item_id"),
    ],
)
def test_bad_events_are_refused(
    repository: FeatureRepository, frame: pl.DataFrame, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        push_events(repository, frame)


def test_no_events_change_nothing(repository: FeatureRepository) -> None:
    empty = pl.DataFrame([event("u", "i", 0)]).clear()
    assert push_events(repository, empty) == 0
