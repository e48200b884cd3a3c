"""Timestamps of every form, and tokens equal to those that serving makes."""

from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoint import attributes
from counterpoint.datasets._convert import Reader
from counterpoint.datasets._files import RawTable
from counterpoint.datasets._staging import REJECTED

INSTANTS = st.datetimes(datetime(1975, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))
FORMS: dict[str, Any] = {
    "s": lambda t: str(int(t.timestamp())),
    "ms": lambda t: str(int(t.timestamp()) * 1000),
    "us": lambda t: str(int(t.timestamp()) * 1_000_000),
    "ns": lambda t: str(int(t.timestamp()) * 10**9),
    "float": lambda t: f"{int(t.timestamp())}.0",
    "iso": lambda t: t.isoformat(),
    "Z": lambda t: t.strftime("%Y-%m-%dT%H:%M:%SZ"),
    "space": lambda t: t.strftime("%Y-%m-%d %H:%M:%S"),
    "slash": lambda t: t.strftime("%Y/%m/%d %H:%M:%S.0"),
    "offset": lambda t: t.strftime("%Y-%m-%dT%H:%M:%S+00:00"),
}


def reader(values: dict[str, Any], *, json: bool = False) -> Reader:
    rows = pl.LazyFrame(values)
    return Reader(RawTable("t", list(values), rows, REJECTED.to_frame(), json), null_values=("NA",))


def instants(values: list[Any], form: str = "auto") -> list[Any]:
    made = reader({"t": values})
    read = made.instant("t", form)
    frame = made.raw.rows.select(read.value.alias("v"), read.fault.alias("f")).collect()
    assert frame["v"].dtype == pl.Datetime("us", "UTC")
    return [fault or value for value, fault in frame.iter_rows()]


@pytest.mark.parametrize("form", FORMS)
@given(times=st.lists(INSTANTS, min_size=1, max_size=5))
@settings(max_examples=15, deadline=None)
def test_the_form_is_recognised(form: str, times: list[datetime]) -> None:
    whole = [time.replace(microsecond=0) for time in times]
    assert instants([FORMS[form](time) for time in whole]) == whole


@given(INSTANTS)
@settings(max_examples=30, deadline=None)
def test_microseconds_are_exact(time: datetime) -> None:
    us = (int(time.timestamp()) * 1_000_000) + time.microsecond
    assert instants([str(us)], "us") == [time]
    assert instants([us], "us") == [time]
    assert instants([time]) == [time]
    assert instants([time.isoformat()]) == [time]


def test_dates_and_declared_forms() -> None:
    day = datetime(2024, 2, 1, tzinfo=UTC)
    assert instants(["2024-02-01", "20240201"], "iso")[0] == day
    assert instants(["20240201"]) == [day]
    assert instants(["01.02.2024"], "%d.%m.%Y") == [day]
    assert instants(["02/01/24 00:00"], "%m/%d/%y %H:%M") == [day]
    assert instants(["2024-02-01 02:00 +0200"], "%Y-%m-%d %H:%M %z") == [day]
    assert instants([day.date()]) == [day]


def test_what_cannot_be_read_is_said_and_what_is_missing_is_null() -> None:
    read = instants(["1700000000", "soon", "NA", None, "9" * 30], "s")
    assert isinstance(read[0], datetime)
    assert read[1] == "t 'soon' cannot be read as a number of s"
    assert read[2:4] == [None, None]
    assert "cannot be read" in read[4]


LETTERS = st.characters(codec="ascii", exclude_characters="|", categories=("L", "N", "Z"))
RAW = st.lists(st.text(LETTERS, max_size=6) | st.integers(-5, 100).map(str), max_size=4)


@given(cells=st.lists(RAW.map("|".join), min_size=1, max_size=5), binned=st.booleans())
@settings(max_examples=60, deadline=None)
def test_tokens_equal_those_of_serving(cells: list[str], binned: bool) -> None:
    bins = [0.0, 18.0, 25.0, 60.0] if binned else None
    made = reader({"c": cells})
    tokens = made.tokens("age", "c", separator="|", bins=bins)
    frame = made.raw.rows.select(tokens.value.alias("v"), tokens.fault.alias("f")).collect()
    spec: attributes.AttributeSpec = {"separator": "|"}
    if bins:
        spec["bins"] = bins
    for cell, (found, fault) in zip(cells, frame.iter_rows(), strict=True):
        try:
            expected = attributes.normalise([f"age={cell}"], {"age": spec})
        except ValueError:
            assert fault is not None
        else:
            assert fault is None
            assert found == ([] if cell.strip() == "NA" else expected)
