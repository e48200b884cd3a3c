from pathlib import Path

import pytest

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


def test_a_rule_about_what_is_not_there_is_refused(read: Reader, tmp_path: Path) -> None:
    name = write(tmp_path, "event", ["view", "cart"])
    with pytest.raises(DataError, match=r"'buy'.*Events found: cart, view"):
        read(interactions=name, positive={"events": ["buy", "view"]})
    with pytest.raises(DataError, match="no value column"):
        read(interactions=name, positive={"min_value": 1})
