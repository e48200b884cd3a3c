from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from counterpoint import artifacts, columns, live_ingest, tables
from counterpoint.config import IngestConfig
from counterpoint.errors import DataError
from counterpoint.live_items import LiveItem, micros, parse
from counterpoint.live_store import LiveStore
from counterpoint.stages import ingest

EARLY, LATE = datetime(2020, 1, 1, tzinfo=UTC), datetime(2999, 1, 1, tzinfo=UTC)
SPEC = {"year": {"bins": [1990.0, 2000.0]}}


def items(*rows: dict[str, object]) -> pl.LazyFrame:
    frame = pl.DataFrame([{columns.ITEM: "?", **row} for row in rows])
    return tables.conform(frame, columns.ITEMS, table="items").lazy()


def merge(
    tmp_path: Path, known: pl.LazyFrame, *live: LiveItem, removed: tuple[str, ...] = ()
) -> tuple[dict[str, dict[str, object]], list[str]]:
    store = LiveStore(tmp_path / "items.sqlite")
    store.put(live)
    store.remove(removed)
    frame, notes = live_ingest.merged(known, store.since(), SPEC, origin="the store")
    rows = frame.collect()
    assert rows.schema == columns.ITEMS
    assert rows[columns.ITEM].is_unique().all()
    return {row[columns.ITEM]: row for row in rows.iter_rows(named=True)}, notes


def test_new_items_come_after_those_of_the_data_set(tmp_path: Path) -> None:
    new = LiveItem("n", "New", "Text", ("year=1995",), micros(EARLY), None)
    found, notes = merge(tmp_path, items({"item_id": "a", "title": "A"}), new)
    assert list(found) == ["a", "n"]
    assert found["n"] == {
        "item_id": "n",
        "title": "New",
        "text": "Text",
        "attributes": ["year=1990-1999"],
        "available_from": EARLY,
        "available_until": None,
    }
    assert notes == [
        "1 live items from the store: 1 added to the items, 0 filled nulls of the data set's rows, "
        "0 removed."
    ]


def test_the_data_set_wins_and_live_values_fill_its_nulls(tmp_path: Path) -> None:
    known = items(
        {"item_id": "a", "title": "A", "attributes": ["year=1990-1999"]},
        {"item_id": "b", "attributes": []},
    )
    fields = ("Live", "Text", ("year=2005",), None, micros(LATE))
    found, _ = merge(tmp_path, known, LiveItem("a", *fields), LiveItem("b", *fields))
    assert (found["a"]["title"], found["a"]["attributes"]) == ("A", ["year=1990-1999"])
    assert (found["b"]["title"], found["b"]["attributes"]) == ("Live", ["year=2000+"])
    assert found["a"]["text"] == "Text" and found["a"]["available_until"] == LATE


def test_a_removed_item_is_available_until_its_removal(tmp_path: Path) -> None:
    known = items(
        {"item_id": "a", "available_until": LATE},
        {"item_id": "b", "available_until": EARLY},
        {"item_id": "c"},
    )
    before = datetime.now(UTC)
    found, notes = merge(tmp_path, known, LiveItem("n"), removed=("a", "b", "n", "nobody"))
    end = found["a"]["available_until"]
    assert isinstance(end, datetime) and before <= end <= datetime.now(UTC)
    assert found["b"]["available_until"] == EARLY
    assert found["c"]["available_until"] is None
    assert "n" not in found and "nobody" not in found
    assert "4 removed" in notes[0]


def test_attributes_that_no_longer_fit_are_told(tmp_path: Path) -> None:
    found, notes = merge(tmp_path, items(), LiveItem("n", attributes=("year=soon",)))
    assert found["n"]["attributes"] == []
    assert "'n' are left out" in notes[1]


def test_ingest_writes_them_into_the_data_set(tmp_path: Path) -> None:
    pl.DataFrame({"user": [1, 2], "item": ["a", "b"], "rating": [5.0, 4.0]}).write_csv(
        tmp_path / "interactions.csv"
    )
    pl.DataFrame({"item_id": ["a", "b"], "title": ["A", "B"]}).write_csv(tmp_path / "items.csv")
    store = tmp_path / "items.sqlite"
    options = {"folder": str(tmp_path), "interactions": "interactions.csv", "items": "items.csv"}
    config = IngestConfig(dataset="tables", options=options, live_items=str(store))
    empty = ingest.run(config, dataset=tmp_path / "out")
    LiveStore(store).put([parse({"item_id": "n", "title": "New"})])
    full = ingest.run(config, dataset=tmp_path / "out")
    assert full.figures["items"] == empty.figures["items"] + 1
    assert full.content_sha256 != empty.content_sha256
    assert any("1 added" in note for note in full.notes)
    assert tables.read(tmp_path / "out").items[columns.ITEM].to_list() == ["a", "b", "n"]
    broken = tmp_path / "broken.sqlite"
    broken.write_bytes(b"?" * 5000)
    config = config.model_copy(update={"live_items": str(broken)})
    with pytest.raises(DataError, match=r"ingest\.live_items"):
        ingest.run(config, dataset=tmp_path / "out")
    assert not (tmp_path / "out" / artifacts.DATASET).exists()
