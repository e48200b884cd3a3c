"""Every row goes to exactly one side, for the right reasons, however the table is sliced."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoint import artifacts, columns
from counterpoint.config import ValidationConfig
from counterpoint.expectations import quarantine
from counterpoint.expectations.verdict import Report, reach
from tests.counterpoint.expectations.conftest import START, Writer, clean

LATEST = datetime(2026, 1, 1, tzinfo=UTC)
REASON = "reason"

DAMAGES: list[tuple[str, Any, str]] = [
    (columns.USER, None, "user_id is missing"),
    (columns.USER, " ", "user_id is blank"),
    (columns.ITEM, "x" * 257, "item_id is longer than 256 characters"),
    (columns.TIMESTAMP, None, "timestamp is missing"),
    (columns.TIMESTAMP, datetime(1969, 12, 31, tzinfo=UTC), "timestamp is before 1970-01-01"),
    (columns.TIMESTAMP, datetime(2031, 1, 1, tzinfo=UTC), "timestamp is in the future"),
    (columns.VALUE, float("inf"), "value is not finite"),
    (columns.EVENT, None, "event is missing"),
]


def judged(folder: Path, **config: Any) -> tuple[Report, pl.DataFrame, pl.DataFrame]:
    validated = folder.with_name("validated")
    validated.mkdir(exist_ok=True)
    report = reach(
        ValidationConfig(**config), dataset=folder, validated=validated, timed=True, latest=LATEST
    )
    accepted = pl.read_parquet(validated / artifacts.INTERACTIONS)
    rejected = pl.read_parquet(validated / artifacts.QUARANTINE / artifacts.INTERACTIONS)
    return report, accepted, rejected


def damaged(rng: np.random.Generator, rows: int) -> tuple[pl.DataFrame, dict[int, set[str]]]:
    """Interactions with planted faults, and the reasons expected by row id."""
    records = clean(rows).to_dicts()
    planted: dict[int, set[str]] = {}
    for row in rng.choice(rows, rows // 4, replace=False):
        for place in rng.choice(len(DAMAGES), rng.integers(1, 3), replace=False):
            column, value, reason = DAMAGES[place]
            if any(c == column and r in planted.get(row, ()) for c, _, r in DAMAGES):
                continue
            records[row][column] = value
            planted.setdefault(int(row), set()).add(reason)
    return pl.DataFrame(records, schema=columns.INTERACTIONS), planted


@pytest.mark.parametrize("slice_rows", [7, 250_000])
def test_planted_faults_are_found_exactly(
    write: Writer, monkeypatch: pytest.MonkeyPatch, slice_rows: int
) -> None:
    monkeypatch.setattr(quarantine, "SLICE_ROWS", slice_rows)
    frame, planted = damaged(np.random.default_rng(3), 60)
    folder = write(frame, rejected=[("interactions", '{"a":1}', "value 'x' is not a number")])
    report, accepted, rejected = judged(folder)
    found = dict(rejected.select(columns.ROW, REASON).iter_rows())
    assert found.pop(None) == "value 'x' is not a number"
    assert {row: set(reason.split("; ")) for row, reason in found.items()} == planted
    assert accepted.equals(frame.filter(~pl.col(columns.ROW).is_in(list(planted))))
    judgement = report.judgements["interactions"]
    assert judgement.rows == 61 == judgement.accepted + judgement.quarantined
    counted = {broken.rule: broken.count for broken in judgement.broken}
    expected = [reason for reasons in planted.values() for reason in reasons]
    assert counted == {
        **{reason: expected.count(reason) for reason in expected},
        "value '…' is not a number": 1,
    }


def test_slices_give_the_same_data_docs(write: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    frame, _ = damaged(np.random.default_rng(5), 50)
    folder = write(frame)
    statistics = []
    for slice_rows in (9, 1000):
        monkeypatch.setattr(quarantine, "SLICE_ROWS", slice_rows)
        report, *_ = judged(folder)
        statistics.append(
            [
                (r.success, r.result["element_count"], r.result["unexpected_count"],
                 r.result["unexpected_percent"], r.result.get("missing_percent"))
                for r in report.results[0].results
            ]
        )  # fmt: skip
    assert statistics[0] == [pytest.approx(row) for row in statistics[1]]


def test_the_first_usable_copy_stays(write: Writer) -> None:
    row = clean().row(5, named=True)
    copies = [
        {**row, columns.ROW: 301, columns.VALUE: float("inf")},
        {**row, columns.ROW: 302, columns.USER: "new"},
        {**row, columns.ROW: 303},
        {**row, columns.ROW: 304, columns.USER: "new"},
        {**row, columns.ROW: 305, columns.EVENT: "view"},
    ]
    broken = {**row, columns.ROW: 300, columns.USER: "new", columns.VALUE: float("inf")}
    more = pl.DataFrame([broken, *copies], schema=columns.INTERACTIONS)
    _, _, rejected = judged(write(pl.concat([clean(), more])))
    reasons = dict(rejected.select(columns.ROW, REASON).iter_rows())
    assert set(reasons) == {300, 301, 303, 304}
    assert reasons[300] == reasons[301] == "value is not finite"
    assert reasons[303].startswith("duplicate") and reasons[304].startswith("duplicate")


@given(
    st.lists(
        st.tuples(st.sampled_from("abc") | st.none(), st.sampled_from("xy"), st.integers(0, 2)),
        max_size=30,
    )
)
@settings(max_examples=60, deadline=None)
def test_later_copies_equal_a_plain_search(rows: list[tuple[str | None, str, int]]) -> None:
    frame = pl.DataFrame(
        rows, schema={"u": pl.String, "i": pl.String, "t": pl.Int64}, orient="row"
    ).with_row_index(quarantine.POSITION)
    expected, seen = [], set()
    for position, row in enumerate(rows):
        if row[0] is not None and row in seen:
            expected.append(position)
        seen.add(row)
    found = quarantine.later_copies(frame.lazy(), ["u", "i", "t"])
    assert found.to_list() == expected


@pytest.mark.parametrize(("copies", "verdict"), [(100, "warn"), (200, "fail")])
def test_copies_stop_the_pipeline_only_where_they_are_the_rule(
    write: Writer, copies: int, verdict: str
) -> None:
    again = clean(copies).with_columns(pl.col(columns.ROW) + 1000)
    report, accepted, _ = judged(write(pl.concat([clean(), again])))
    assert report.verdict == verdict
    assert len(accepted) == 200
    judgement = report.judgements["interactions"]
    assert judgement.duplicates == judgement.quarantined == copies
    assert any("duplicate" in reason for reason in report.reasons)


def test_a_copy_that_breaks_another_rule_is_a_bad_row(write: Writer) -> None:
    late = pl.lit(datetime(2100, 1, 1, tzinfo=UTC)).alias(columns.TIMESTAMP)
    odd = pl.concat([clean(1).with_columns(late)] * 30)
    report, accepted, _ = judged(write(pl.concat([clean(), odd])))
    assert report.verdict == "fail"
    assert len(accepted) == 200
    assert report.judgements["interactions"].duplicates == 0


def test_items_and_users_keep_their_first_row(write: Writer) -> None:
    items = [
        {"item_id": f"i{n}", "title": f"T{n}", "attributes": []} for n in range(7)
    ]  # fmt: skip
    folder = write(
        clean(),
        items=[*items, {"item_id": "i1", "title": "again"}, {"item_id": None, "title": "no id"}],
        users=[{"user_id": "u1", "attributes": ["age=1"]}, {"user_id": "u1", "attributes": []}],
    )
    report, *_ = judged(folder, fail_fraction=1, duplicate_fraction=1)
    assert report.verdict == "warn"
    kept = pl.read_parquet(folder.with_name("validated") / artifacts.ITEMS)
    assert kept["title"].to_list() == [f"T{n}" for n in range(7)]
    assert report.judgements["items"].quarantined == 2
    users = pl.read_parquet(folder.with_name("validated") / artifacts.USERS)
    assert users["attributes"].to_list() == [["age=1"]]


def test_warnings_keep_their_rows(write: Writer) -> None:
    folder = write(clean(), items=[{"item_id": "i1", "title": None, "attributes": []}])
    report, accepted, _ = judged(folder)
    assert len(accepted) == 200
    assert report.verdict == "warn"
    rules = {b.rule: b.count for t in report.judgements.values() for b in t.broken}
    outside = (clean()[columns.ITEM] != "i1").sum()
    assert rules == {
        "the item is not in the items table": outside,
        "title is missing": 1,
        "neither title nor text nor attributes": 1,
    }


def test_anomalous_users_are_named_and_kept(write: Writer) -> None:
    robot = clean(90).with_columns(
        pl.lit("robot").alias(columns.USER),
        (pl.lit(START) + pl.duration(milliseconds=300 * pl.int_range(pl.len()))).alias(
            columns.TIMESTAMP
        ),
        (pl.col(columns.ROW) + 1000).alias(columns.ROW),
    )
    report, accepted, _ = judged(write(pl.concat([clean(), robot])))
    assert [(a.kind, a.users, a.examples) for a in report.anomalies] == [
        ("burst", 1, {"robot": 90})
    ]
    assert len(accepted) == 290
    report, *_ = judged(write(pl.concat([clean(), robot])), activity_deviations=3)
    assert [a.kind for a in report.anomalies] == ["activity", "burst"]
    daily = robot.with_columns(pl.lit(START).alias(columns.TIMESTAMP) + timedelta(days=1))
    report, *_ = judged(write(daily.with_columns(item_id=pl.format("x{}", columns.ROW))))
    assert not report.anomalies, "times that are dates say nothing about minutes"
