import statistics
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoint import columns
from counterpoint.datasets._positive import at_user_median
from counterpoint.errors import DataError
from tests.counterpoint.datasets.conftest import Reader


def write(folder: Path, header: str, values: list[object]) -> str:
    rows = [f"u{n},i{n},{value}" for n, value in enumerate(values)]
    (folder / "e.csv").write_text("\n".join([f"user,item,{header}", *rows]) + "\n")
    return "e.csv"


@pytest.mark.parametrize(
    ("header", "values", "expected", "text"),
    [
        ("rating", [5, 4, 3.5, ""], [True, True, False, False], "value >= 4"),
        ("rating", [10, 7, 6], [True, True, False], "value >= 7"),
        ("rating", [1, 0], [True, False], "value >= 1"),
        ("plays", [250, 1, 0], [True, True, False], "value > 0"),
        ("quantity", [2, 1, -1], [True, True, False], "value > 0"),
        ("other", ["a", "b"], [True, True], "every event"),
    ],
)
def test_the_usual_rule_fits_the_values(
    read: Reader,
    tmp_path: Path,
    header: str,
    values: list[object],
    expected: list[bool],
    text: str,
) -> None:
    source = read(interactions=write(tmp_path, header, values))
    assert source.interactions.collect()["positive"].to_list() == expected
    assert source.positive == text
    assert any("positive" in note for note in source.notes) == (text != "every event")


def test_events_and_values_must_both_hold(read: Reader, tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_text(
        "user,item,event,value\n1,1,buy,3\n1,2,buy,1\n1,3,view,3\n1,4,buy,\n"
    )
    positive = {"events": ["buy"], "min_value": 2}
    source = read(interactions="e.csv", positive=positive)
    assert source.interactions.collect()["positive"].to_list() == [True, False, False, False]
    assert source.positive == "event in buy and value >= 2"
    assert source.positive_rule == {"events": ["buy"], "min_value": 2.0}


def test_equal_values_say_nothing_so_every_event_counts(read: Reader, tmp_path: Path) -> None:
    source = read(interactions=write(tmp_path, "rating", [3, 3, 3]))
    assert source.interactions.collect()["positive"].all()
    assert source.positive == "every event"
    assert any("all values of 'rating' equal 3" in note for note in source.notes)


@pytest.mark.parametrize(
    ("header", "values", "positive", "expected"),
    [
        ("plays", [1, 5, 4], {"min_value": 5}, [False, True, False]),
        ("rating", [5, 1, 3], {"min_value": 0}, [True, True, True]),
        ("action", ["click", "view", "click"], {"events": ["click"]}, [True, False, True]),
    ],
)
def test_counts_ratings_and_clicks(
    read: Reader,
    tmp_path: Path,
    header: str,
    values: list[object],
    positive: dict[str, object],
    expected: list[bool],
) -> None:
    source = read(interactions=write(tmp_path, header, values), positive=positive)
    assert source.interactions.collect()["positive"].to_list() == expected


@given(
    st.lists(
        st.tuples(
            st.sampled_from("ab"), st.integers(0, 3), st.none() | st.integers(1, 5).map(float)
        ),
        max_size=25,
    )
)
@settings(max_examples=60, deadline=None)
def test_the_median_so_far_equals_a_plain_search(
    rows: list[tuple[str, int, float | None]],
) -> None:
    schema = {columns.USER: pl.String, columns.TIMESTAMP: pl.Int64, columns.VALUE: pl.Float64}
    frame = pl.DataFrame(rows, schema=schema, orient="row").with_row_index(columns.ROW)
    found = frame.select(at_user_median())[columns.VALUE].to_list()
    for place, (user, time, value) in enumerate(rows):
        past = [
            v
            for n, (u, t, v) in enumerate(rows)
            if u == user and (t, n) <= (time, place) and v is not None
        ]
        assert found[place] == (None if value is None else value >= statistics.median(past))


def test_later_events_never_change_a_label(read: Reader, tmp_path: Path) -> None:
    lines = ["user,item,plays,timestamp", "1,a,2,100", "1,b,1,200", "1,c,9,300"]
    labels = []
    for rows in (3, 4):
        (tmp_path / "e.csv").write_text("\n".join(lines[:rows]) + "\n")
        source = read(interactions="e.csv", positive={"at_user_median": True})
        labels.append(source.interactions.collect()["positive"].to_list())
        assert source.positive == "value >= the user's median so far"
    assert labels == [[True, False], [True, False, True]]


def test_a_rule_about_what_is_not_there_is_refused(read: Reader, tmp_path: Path) -> None:
    name = write(tmp_path, "event", ["view", "cart"])
    with pytest.raises(DataError, match=r"'buy'.*Events found: cart, view"):
        read(interactions=name, positive={"events": ["buy", "view"]})
    with pytest.raises(DataError, match="no value column"):
        read(interactions=name, positive={"min_value": 1})
    with pytest.raises(DataError, match=r"at_user_median is set but .* no value column"):
        read(interactions=name, positive={"at_user_median": True})
