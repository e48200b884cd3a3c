import gzip
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from counterpoint.datasets import Source
from counterpoint.errors import DataError
from counterpoint.tables import Tables, content_hash
from tests.counterpoint.datasets.conftest import Reader

EVENTS = pl.DataFrame(
    {
        "user_id": ["1", "2", "3"],
        "item_id": ["10", "11", "10"],
        "rating": [4.5, 2.0, None],
        "timestamp": [1_700_000_000, 1_700_000_060, 1_700_000_120],
        "note": ['a "quoted", word', "two\nlines", "Ünïcode"],
    }
)


def collected(source: Source) -> Tables:
    return Tables(source.interactions.collect(), source.items.collect(), source.users.collect())


def write(path: Path, form: str) -> dict[str, Any]:
    """Write EVENTS in one of many forms; returns the options that read it."""
    options: dict[str, Any] = {}
    if form == "parquet":
        path = path.with_suffix(".parquet")
        EVENTS.with_columns(pl.col("user_id").cast(pl.Int32)).write_parquet(path)
    elif form.startswith("jsonl"):
        path = path.with_suffix(".jsonl" if form == "jsonl" else ".jsonl.gz")
        text = EVENTS.write_ndjson()
        path.write_bytes(gzip.compress(text.encode()) if form == "jsonl.gz" else text.encode())
    else:
        separator = {"tsv": "\t", "semicolon": ";", "bar": "|", "two": ":"}.get(form, ",")
        text = EVENTS.write_csv(separator=separator, include_header=form != "no header")
        if form in ("crlf", "mixed"):
            for start in ("1,", "2,", "3,") if form == "crlf" else ("1,", "3,"):
                text = text.replace(f"\n{start}", f"\r\n{start}")
            text = text.removesuffix("\n") + ("\r\n" if form == "crlf" else "\n")
        if form == "two":
            text = text.replace(":", "::")
            options["separator"] = "::"
        if form == "no header":
            options["header"] = EVENTS.columns
        content = ("\ufeff" if form == "bom" else "").encode() + text.encode()
        if form == "latin-1":
            content = text.encode("latin-1")
            options["encoding"] = "latin-1"
        if form == "utf-16":
            content = text.encode("utf-16")
            options["encoding"] = "utf-16"
        path = path.with_suffix(".csv.gz" if form == "gz" else ".csv")
        path.write_bytes(gzip.compress(content) if form == "gz" else content)
    return {"path": path.name, **options}


FORMS = (
    "csv tsv semicolon bar two gz crlf mixed bom latin-1 utf-16 parquet jsonl jsonl.gz".split()
)  # fmt: skip


@pytest.mark.parametrize("form", [*FORMS, "no header"])
def test_every_form_of_file_gives_the_same_rows(read: Reader, tmp_path: Path, form: str) -> None:
    plain = collected(read(interactions=write(tmp_path / "plain", "csv")))
    other = collected(read(interactions=write(tmp_path / "other", form)))
    assert content_hash(other) == content_hash(plain)
    assert plain.interactions["value"].to_list() == [4.5, 2.0, None]
    assert plain.interactions["positive"].to_list() == [True, False, False]
    assert plain.interactions["timestamp"].dt.epoch("s").to_list() == EVENTS["timestamp"].to_list()


def test_text_in_brackets_is_no_json_array(read: Reader, tmp_path: Path) -> None:
    items: list[dict[str, Any]] = [
        {"item_id": "a", "title": "[2 Pack] Soap", "tags": ["x", "y"]},
        {"item_id": "b", "title": "Cedar", "tags": [["x", "z"], "q"]},
        {"item_id": "c", "title": "[]", "tags": []},
        {"item_id": "d", "title": ["A", "B"], "tags": None},
        {"item_id": "e", "title": "{odd}", "tags": "[solo"},
        {"item_id": "f", "title": None, "tags": [1, None, 2]},
    ]
    (tmp_path / "i.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    (tmp_path / "e.csv").write_text("user,item\nu,a\n")
    found = read(interactions="e.csv", items="i.jsonl").items.collect()
    assert found["title"].to_list() == ["[2 Pack] Soap", "Cedar", "[]", "A B", "{odd}", None]
    assert found["attributes"].to_list() == [
        ["tag=x", "tag=y"], ['tag=["x","z"]', "tag=q"], [], [], ["tag=[solo"], ["tag=1", "tag=2"]
    ]  # fmt: skip


def test_only_the_wanted_keys_are_read(read: Reader, tmp_path: Path) -> None:
    (tmp_path / "e.jsonl").write_text('{"user": "u", "item": "a", "rating": 5, "body": "long"}\n')
    file = {"path": "e.jsonl", "keep": ["user", "item"]}
    assert read(interactions=file).interactions.collect()["value"].to_list() == [None]
    with pytest.raises(DataError, match="no JSON object with any of absent"):
        read(interactions={**file, "keep": ["absent"], "columns": {"user_id": "absent"}})


@pytest.mark.parametrize(
    ("usual", "odd", "reason"),
    [
        (1_600_000_000, 1_600_000_000_000, "is a number of ms in a column of s"),
        (1_600_000_000_000, 1_600_000_000, "is a number of s in a column of ms"),
        (1_600_000_000_000, 1_600_000_000_000_000, "is a number of us in a column of ms"),
    ],
)
def test_a_time_in_another_unit_is_kept_apart(
    read: Reader, tmp_path: Path, usual: int, odd: int, reason: str
) -> None:
    stamps = [usual, usual, odd, usual, 0, 86_400, usual]
    lines = [f"u,i{n},{stamp}" for n, stamp in enumerate(stamps)]
    (tmp_path / "e.csv").write_text("user,item,time\n" + "\n".join(lines) + "\n")
    source = read(interactions="e.csv")
    assert source.rejected.collect()["reason"].to_list() == [f"time '{odd}' {reason}"]
    assert source.interactions.collect()["item_id"].to_list() == [
        f"i{n}" for n in (0, 1, 3, 4, 5, 6)
    ]


def test_an_empty_timestamp_column_needs_a_word(read: Reader, tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_text("user,item,time\nu,a,\nv,b,\n")
    source = read(interactions="e.csv")
    assert source.interactions.collect()["timestamp"].null_count() == 2
    assert "Column 'time' of e.csv is empty in every row" in source.notes[-1]
    source = read(interactions={"path": "e.csv", "columns": {"timestamp": ""}})
    assert not source.has_timestamps


def test_several_files_are_one_table_in_order(read: Reader, tmp_path: Path) -> None:
    EVENTS[:1].write_csv(tmp_path / "part-1.csv")
    EVENTS[1:].write_csv(tmp_path / "part-2.csv")
    EVENTS.write_csv(tmp_path / "whole.csv")
    whole = collected(read(interactions="whole.csv"))
    assert content_hash(collected(read(interactions="part-*.csv"))) == content_hash(whole)
    listed = read(interactions={"path": ["part-1.csv", "part-2.csv"]})
    assert content_hash(collected(listed)) == content_hash(whole)


@pytest.mark.parametrize(
    "header",
    [
        "userId,movieId,rating,timestamp",
        "User,Product ID,Score,Event-Time",
        "reviewer_id,asin,overall,unixReviewTime",
        "user_id:token,item_id:token,rating:float,time:float",
    ],
)
def test_common_names_need_no_map(read: Reader, tmp_path: Path, header: str) -> None:
    (tmp_path / "e.csv").write_text(f"{header}\n7,8,5,1700000000\n")
    source = read(interactions="e.csv")
    row = source.interactions.collect().row(0, named=True)
    assert (row["user_id"], row["item_id"], row["value"]) == ("7", "8", 5.0)
    assert row["timestamp"] == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    assert source.notes


def test_the_map_wins_over_common_names(read: Reader, tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_text("user_id,buyer,item,sku,t,kind\nx,1,y,2,2024-02-03,view\n")
    columns = {"user_id": "buyer", "item_id": "sku", "timestamp": "t", "event": "kind"}
    source = read(interactions={"path": "e.csv", "columns": columns})
    row = source.interactions.collect().row(0, named=True)
    assert (row["user_id"], row["item_id"], row["event"]) == ("1", "2", "view")
    assert row["positive"], "without a value every row is positive"


def test_without_timestamps_the_order_of_the_rows_stands_in(read: Reader, tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_text("user,item\na,1\na,2\n")
    source = read(interactions="e.csv")
    assert not source.has_timestamps
    stamps = source.interactions.collect()["timestamp"]
    assert stamps[1] - stamps[0] == timedelta(seconds=1)
    timed = read(interactions={"path": "e.csv", "columns": {"timestamp": ""}})
    assert not timed.has_timestamps


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (["12.0", "7", "", "007"], ["12", "7", None, "007"]),
        (["1.0", "2.1"], ["1.0", "2.1"]),
        (["12.0", "A"], ["12.0", "A"]),
        ([" x ", "nan", "None"], ["x", None, None]),
        (["-3.00"], ["-3"]),
    ],
)
def test_ids_are_text(
    read: Reader, tmp_path: Path, ids: list[str], expected: list[str | None]
) -> None:
    pl.DataFrame({"user": ids, "item": ["i"] * len(ids)}).write_csv(tmp_path / "e.csv")
    found = read(interactions="e.csv").interactions.collect()
    assert found["user_id"].to_list() == expected


def test_items_and_users(read: Reader, tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_text("user,item\n1,1\n")
    (tmp_path / "i.csv").write_text(
        "sku,name,blurb,maker,kinds,price\n1,Lamp,Bright,Acme,home; light,12.5\n2,,,,,\n"
    )
    people = [{"id": 1, "age": 27, "tags": ["new", "vip"]}, {"id": 2, "age": "18-24"}]
    (tmp_path / "u.jsonl").write_text("\n".join(map(json.dumps, people)))
    source = read(
        interactions="e.csv",
        items={
            "path": "i.csv",
            "columns": {"item_id": "sku", "title": "name", "text": ["blurb", "maker"]},
            "attributes": {
                "kind": {"column": "kinds", "separator": ";"},
                "price": {"bins": [10, 20]},
            },
        },
        users={
            "path": "u.jsonl",
            "columns": {"user_id": "id"},
            "attributes": {"age": {"bins": [18, 25, 35]}, "tags": {}},
        },
    )
    items = source.items.collect().to_dicts()
    assert items[0]["title"] == "Lamp"
    assert items[0]["text"] == "Bright\nAcme"
    assert items[0]["attributes"] == ["kind=home", "kind=light", "price=10-19"]
    assert items[1] | {"attributes": []} == dict.fromkeys(items[1]) | {
        "item_id": "2",
        "attributes": [],
    }
    assert source.users.collect()["attributes"].to_list() == [
        ["age=25-34", "tags=new", "tags=vip"],
        ["age=18-24"],
    ]
    assert source.attributes == {
        "item": {"kind": {"separator": ";"}, "price": {"bins": [10.0, 20.0]}},
        "user": {"age": {"bins": [18.0, 25.0, 35.0]}, "tags": {}},
    }


def test_attributes_with_common_names_are_found(read: Reader, tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_text("user,item\n1,1\n")
    (tmp_path / "i.csv").write_text("item,title,genres,year,brand\n1,T,Action|Comedy,1999,Acme\n")
    (tmp_path / "u.csv").write_text("user,age,sex\n1,30,F\n")
    source = read(interactions="e.csv", items="i.csv", users="u.csv")
    found = source.items.collect()["attributes"][0].to_list()
    assert sorted(found) == ["brand=Acme", "genre=Action", "genre=Comedy", "year=1999"]
    assert source.users.collect()["attributes"][0].to_list() == ["age=25-34", "gender=F"]
    none = read(interactions="e.csv", items={"path": "i.csv", "attributes": {}})
    assert none.items.collect()["attributes"][0].to_list() == []


def test_nested_parquet_columns_are_attributes(read: Reader, tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_text("user,item\n1,1\n")
    pl.DataFrame({"item": [1], "tags": [["a", " b", ""]], "year": [1999]}).write_parquet(
        tmp_path / "i.parquet"
    )
    source = read(interactions="e.csv", items={"path": "i.parquet", "attributes": ["tags", "year"]})
    tokens = source.items.collect()["attributes"][0].to_list()
    assert tokens == ["tags=a", "tags=b", "year=1999"]
