from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings

from counterpoint import columns, feature_tables
from counterpoint.histories import VISIBLE_AFTER_US
from counterpoint.tables import Tables
from tests.counterpoint import logs


def written(folder: Path, source: Tables, length: int = 4) -> dict[str, pl.DataFrame]:
    feature_tables.write(folder, source, history_length=length)
    return {
        name: pl.read_parquet(feature_tables.path(folder, name)) for name in feature_tables.SCHEMAS
    }


@given(logs.rows(min_size=0))
@settings(max_examples=30, deadline=None)
def test_tables_tell_what_was_visible(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, int, int, bool]]
) -> None:
    source = logs.ordered(logs.tables(rows), logs.config())
    log = source.interactions
    tables = written(tmp_path_factory.mktemp("tables"), source)

    for name, schema in feature_tables.SCHEMAS.items():
        assert tables[name].schema == schema, name
    assert len(tables[feature_tables.EVENT_HISTORY]) == len(log)
    visible = log[columns.TIMESTAMP].dt.epoch("us") + VISIBLE_AFTER_US
    for name in (feature_tables.USER_LAST_EVENT, feature_tables.USER_STATISTICS):
        assert tables[name][columns.FEATURE_TIMESTAMP].dt.epoch("us").equals(visible)
    histories = tables[feature_tables.EVENT_HISTORY]
    assert histories[columns.HISTORY_UNTIL].to_list() == visible.to_list()
    for row, history, counts in zip(
        range(len(log)),
        histories.iter_rows(named=True),
        tables[feature_tables.USER_STATISTICS].iter_rows(named=True),
        strict=True,
    ):
        mine = log[: row + 1].filter(pl.col(columns.USER) == log[columns.USER][row])
        assert history[columns.HISTORY] == mine[columns.ITEM].tail(4).to_list()
        assert history[columns.HISTORY_POSITIVE] == mine[columns.POSITIVE].tail(4).to_list()
        assert counts[columns.EVENTS] == len(mine)
        assert counts[columns.POSITIVES] == mine[columns.POSITIVE].sum()
    newest = tables[feature_tables.USER_HISTORY]
    last = histories.filter(log.select(pl.col(columns.USER).is_last_distinct()).to_series())
    assert newest[columns.HISTORY].to_list() == last[columns.HISTORY].to_list()
    for item, stamp, events, positives in tables[feature_tables.ITEM_STATISTICS].iter_rows():
        mine = log.filter((pl.col(columns.ITEM) == item) & (pl.col(columns.TIMESTAMP) < stamp))
        assert (events, positives) == (len(mine), mine[columns.POSITIVE].sum())


def test_histories_are_the_same_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = logs.ordered(logs.tables(logs.random_rows(0)), logs.config())
    whole = written(tmp_path / "whole", source)[feature_tables.EVENT_HISTORY]
    monkeypatch.setattr(feature_tables, "BLOCK_ENTRIES", 50)
    assert written(tmp_path / "blocks", source)[feature_tables.EVENT_HISTORY].equals(whole)


def test_every_feature_is_visible_at_the_end_of_the_span() -> None:
    source = logs.ordered(logs.tables(logs.random_rows(0)), logs.config())
    since, until = feature_tables.span(source.interactions)
    assert source.interactions[columns.TIMESTAMP].is_between(since, until, closed="none").all()
