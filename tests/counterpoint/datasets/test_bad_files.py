"""Bad input gets a clear error, or its bad rows are kept apart; nothing is lost."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from counterpoint import datasets
from counterpoint.errors import ConfigError, DataError
from tests.counterpoint.datasets.conftest import Reader

GOOD = b"user,item,rating\n1,2,3\n"

UNREADABLE: list[tuple[str, bytes, dict[str, Any], str]] = [
    ("e.csv", b"", {}, r"is empty \(0 bytes\)"),
    ("e.csv", b"\n\n", {}, "only blank lines"),
    ("e.csv", b"user,item,item\n1,2,3\n", {}, "duplicate column names: item"),
    ("e.csv", b"user,thing\n1,2\n", {}, "no column for 'item_id'. Columns: user, thing"),
    ("e.csv", b"196,242,3\n186,302,3\n", {}, "the first line looks like data"),
    ("e.csv", b"user,item\n1,caf\xe9\n", {}, r"is not UTF-8 .*Set `encoding`.*latin-1"),
    ("e.csv", b"user,item\n1," + b"x" * 300_000 + b"\xe9\n", {}, r"not UTF-8 \(line 2\)"),
    ("e.csv", GOOD, {"encoding": "utf-16"}, "cannot be decoded as utf-16"),
    ("e.csv", b'user,item\n1,"x\n2,y\n', {}, "a quote .* is opened and never closed"),
    ("e.csv", b"PAR1....", {}, "holds Parquet data"),
    ("e.parquet", GOOD, {}, "holds no Parquet data"),
    ("e.parquet", b"PAR1" + b"\0" * 100, {}, "not a readable Parquet file"),
    ("e.csv.gz", b"\x1f\x8b broken", {}, "cannot be read"),
    ("e.xlsx", GOOD, {}, r"extension '\.xlsx'; known: \.csv.*`format`"),
    ("e", GOOD, {}, "extension 'none'"),
    ("e.json", b'[{"user": 1}]', {}, "one JSON object per line"),
    ("e.jsonl", b"nonsense\n", {}, "holds no JSON object"),
    ("e.jsonl", b'{"user": "\xff"}\n', {}, "Set `encoding`"),
    ("e.csv", GOOD, {"header": ["a", "b"]}, "names 2 columns but the first line has 3"),
    ("e.csv", GOOD, {"columns": {"value": "ratng"}}, "'ratng' is not in e.csv.*mean 'rating'"),
]


@pytest.mark.parametrize(("name", "content", "options", "said"), UNREADABLE)
def test_a_file_that_cannot_be_read_is_explained(
    read: Reader, tmp_path: Path, name: str, content: bytes, options: dict[str, Any], said: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=said):
        read(interactions={"path": name, **options})


def test_paths_that_lead_nowhere(read: Reader, tmp_path: Path) -> None:
    (tmp_path / "near.csv").write_bytes(GOOD)
    for path, said in (
        ("absent.csv", "does not exist. The folder holds: near.csv"),
        ("no/such/10GB.csv", "Its folder does not exist either"),
        (".", "is a folder"),
        ("*.tsv", "No file matches"),
    ):
        with pytest.raises(DataError, match=said):
            read(interactions=path)


def test_all_faults_are_told_at_once(read: Reader, tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_bytes(GOOD)
    (tmp_path / "u.csv").write_text("user,age\n1,2\n")
    with pytest.raises(DataError) as caught:
        read(
            interactions={"path": "e.csv", "columns": {"value": "ratng"}},
            items="absent.csv",
            users={"path": "u.csv", "attributes": ["agee"]},
        )
    assert len(str(caught.value).splitlines()) == 3
    with pytest.raises(ConfigError) as refused:
        read(interactions={"path": "e.csv", "sep": ";", "encoding": "klingon"}, item="x")
    assert len(refused.value.faults) == 3
    assert "separator, quote, encoding" in refused.value.faults[1]


def test_bins_and_formats_are_checked_early(read: Reader) -> None:
    with pytest.raises(ConfigError, match="increase strictly"):
        read(interactions="e.csv", users={"path": "u", "attributes": {"age": {"bins": [2, 1]}}})
    with pytest.raises(ConfigError, match="strptime format"):
        read(interactions={"path": "e.csv", "timestamp_format": "seconds"})


def test_bad_rows_are_kept_apart_with_their_reason(read: Reader, tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_text(
        "user,item,rating,time\n1,1,5,2024-01-01\n2,2\n3,3,bad,2024-01-01\n4,4,1,soon\n"
        '5,5,1,2024-01-02,extra\n6,"6"6,1,2024-01-02\n,7,1,\n'
    )
    source = read(interactions="e.csv", items={"path": "e.csv", "columns": {"item_id": "item"}})
    rejected = source.rejected.filter(pl.col("table") == "interactions").collect()
    assert source.interactions.collect()["item_id"].to_list() == ["1", "7"]
    told = dict(rejected.select("reason", "raw").iter_rows())
    assert set(told) == {
        "line 3 unreadable: Expected Number of Columns: 4 Found: 2",
        "line 6 unreadable: Expected Number of Columns: 4 Found: 5",
        "line 7 unreadable: Value with unterminated quote found.",
        "rating 'bad' is not a number",
        "time 'soon' cannot be read as ISO 8601 text",
    }
    raw = told["rating 'bad' is not a number"]
    assert raw == '{"user":"3","item":"3","rating":"bad","time":"2024-01-01"}'


def test_bad_lines_of_json_are_kept_apart(read: Reader, tmp_path: Path) -> None:
    (tmp_path / "e.jsonl").write_text('{"user":1,"item":2}\n{"user":\n\n[1]\n{"user":3,"item":4}\n')
    source = read(interactions="e.jsonl")
    assert source.interactions.collect()["user_id"].to_list() == ["1", "3"]
    assert source.rejected.collect()["raw"].to_list() == ['"{\\"user\\":"', '"[1]"']


CELL = st.sampled_from(["1", "2.0", "", "x", "nan", "inf", "2024-01-01", "ünï", "'", '""', '"a,b"'])
LINES = st.lists(st.lists(CELL, min_size=2, max_size=5).map(",".join), min_size=1, max_size=30)


@given(lines=LINES)
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_every_line_is_accepted_or_rejected(tmp_path: Path, lines: list[str]) -> None:
    (tmp_path / "e.csv").write_text("user,item,rating,time\n" + "\n".join(lines) + "\n")
    columns = {"timestamp": "time", "value": "rating"}
    source = datasets.read(
        "tables",
        {"folder": str(tmp_path), "interactions": {"path": "e.csv", "columns": columns}},
        cache=tmp_path,
        staging=tmp_path / "staging",
    )
    accepted = source.interactions.collect()
    rejected = source.rejected.collect()
    assert len(accepted) + len(rejected) == len(lines)
    assert accepted["row_id"].is_unique().all()
    assert rejected["reason"].null_count() == 0
