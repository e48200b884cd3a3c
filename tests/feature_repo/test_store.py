from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings

from counterpoint import columns, examples
from counterpoint.point_in_time import REQUESTS, USER_FEATURES, PlainFeatures
from counterpoint.tables import Tables
from feature_repo.store import FeatureRepository
from tests.counterpoint import logs
from tests.feature_repo.conftest import LENGTH


def requests(source: Tables) -> pl.DataFrame:
    """Every user, also an unknown one, at, just after and long before and after every event."""
    log = source.interactions
    everybody = pl.DataFrame({columns.USER: [*logs.STRANGE_USERS, "nobody"]})
    at = log.select(columns.TIMESTAMP)
    instants = pl.concat(
        [
            at,
            at.select(pl.col(columns.TIMESTAMP) + pl.duration(microseconds=1)),
            at.select(pl.col(columns.TIMESTAMP).min() - pl.duration(days=900)),
            at.select(pl.col(columns.TIMESTAMP).max() + pl.duration(days=900)),
        ]
    ).unique()
    return (
        everybody.join(instants, how="cross")
        .sort(columns.TIMESTAMP, columns.USER)
        .with_row_index(columns.REQUEST)
        .select(pl.col(name).cast(dtype) for name, dtype in REQUESTS.items())
    )


def normal(answer: pl.DataFrame) -> pl.DataFrame:
    lists = [name for name, dtype in USER_FEATURES.items() if dtype.is_nested()]
    return (
        answer.select(*REQUESTS, *USER_FEATURES)
        .with_columns(pl.col(lists).fill_null([]))
        .sort(columns.REQUEST)
    )


def assert_feast_is_plain(repository: FeatureRepository, source: Tables) -> None:
    asked = requests(source)
    plain = PlainFeatures(source, LENGTH)
    assert normal(repository.historical(asked)).equals(normal(plain.historical(asked)))
    for profiles, known in (("item_profiles", source.items), ("user_profiles", source.users)):
        ids = pl.concat([known.to_series(0), pl.Series(["nobody"])])
        expected = getattr(plain, profiles)(ids)
        key = expected.columns[0]
        assert getattr(repository, profiles)(ids).sort(key).equals(expected.sort(key))


def test_feast_equals_the_plain_join(repository: FeatureRepository, source: Tables) -> None:
    assert len(requests(source)) > 2000
    assert_feast_is_plain(repository, source)


@given(rows=logs.rows(min_size=1, max_size=25))
@settings(
    max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_feast_equals_the_plain_join_on_any_log(
    build: Callable[[Path, Tables], FeatureRepository],
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[int, int, int, bool]],
) -> None:
    source = logs.ordered(logs.tables(rows), logs.config())
    assert_feast_is_plain(build(tmp_path_factory.mktemp("log"), source), source)


def test_examples_from_feast_equal_plain_ones(
    repository: FeatureRepository, source: Tables
) -> None:
    config = logs.config(history_length=LENGTH, examples_per_user=20)
    log = logs.folded(source, config)
    cuts = examples.draw_all(log, config)
    assert len(cuts) > 100
    assert examples.attach(cuts, repository).equals(
        examples.plain_examples(log, source.users, config)
    )


def test_online_and_offline_values_are_equal(repository: FeatureRepository, source: Tables) -> None:
    users = [*logs.STRANGE_USERS, "nobody"]
    now = source.interactions[columns.TIMESTAMP].max()
    asked = (
        pl.DataFrame({columns.USER: users})
        .with_row_index(columns.REQUEST)
        .select(
            pl.col(columns.REQUEST).cast(pl.Int64),
            columns.USER,
            (pl.lit(now) + pl.duration(days=1)).cast(columns.INSTANT).alias(columns.TIMESTAMP),
        )
    )
    offline = normal(repository.historical(asked)).drop(columns.REQUEST, columns.TIMESTAMP)
    online = repository.online(users)
    assert online.equals(offline)
    assert online.filter(pl.col(columns.HISTORY).list.len() > 0).height == 10
    stranger = online.row(-1, named=True)
    assert stranger == {
        columns.USER: "nobody",
        columns.HISTORY: [],
        columns.HISTORY_TIMESTAMPS: [],
        columns.HISTORY_POSITIVE: [],
        columns.HISTORY_UNTIL: None,
        columns.ATTRIBUTES: [],
    }


def test_a_second_apply_and_materialisation_change_nothing(
    repository: FeatureRepository,
) -> None:
    before = repository.online(logs.STRANGE_USERS)
    repository.apply(LENGTH)
    repository.materialise()
    assert repository.online(logs.STRANGE_USERS).equals(before)
    assert repository.history_length == LENGTH


@pytest.mark.parametrize("year", [1950, 2100])
def test_events_before_1970_and_in_the_future_are_served(
    build: Callable[[Path, Tables], FeatureRepository], tmp_path: Path, year: int
) -> None:
    tables = logs.tables(logs.random_rows(4, size=60))
    moved = tables.interactions.with_columns(pl.col(columns.TIMESTAMP).dt.replace(year=year))
    source = logs.ordered(Tables(moved, tables.items, tables.users), logs.config())
    repository = build(tmp_path, source)
    assert_feast_is_plain(repository, source)
    repository.materialise()
    online = repository.online(moved[columns.USER].unique().to_list())
    assert (online[columns.HISTORY].list.len() > 0).all()
