import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterpoint.attributes import AttributeSpec, bin_label, labels, normalise

EDGES = st.lists(
    st.integers(-1000, 1000) | st.floats(-1e3, 1e3).map(lambda x: round(x, 2)),
    min_size=1,
    max_size=8,
    unique=True,
).map(lambda edges: sorted(map(float, edges)))


@given(EDGES, st.floats(allow_nan=False, allow_infinity=False))
def test_a_value_lies_in_the_bin_of_its_label(bins: list[float], value: float) -> None:
    names = labels(bins)
    assert len(set(names)) == len(names) == len(bins) + 1
    place = names.index(bin_label(value, bins))
    assert place == 0 or bins[place - 1] <= value
    assert place == len(bins) or value < bins[place]


def test_labels_name_the_last_whole_number_inside() -> None:
    assert labels([18, 19, 25, 35.5]) == ["<18", "18", "19-24", "25-<35.5", "35.5+"]
    assert labels([1_000_000, 1_000_001]) == ["<1000000", "1000000", "1000001+"]


@given(EDGES, st.lists(st.floats(-2e3, 2e3), max_size=5))
def test_normalising_twice_changes_nothing(bins: list[float], values: list[float]) -> None:
    spec: dict[str, AttributeSpec] = {"age": {"bins": bins}, "genre": {"separator": "|"}}
    raw = [f"age={value}" for value in values] + ["genre= Action | Comedy||Action", "free=a=b"]
    once = normalise(raw, spec)
    assert normalise(once, spec) == once
    assert once[-3:] == ["genre=Action", "genre=Comedy", "free=a=b"]


def test_every_fault_is_listed() -> None:
    spec: dict[str, AttributeSpec] = {"age": {"bins": [18, 25]}}
    with pytest.raises(ValueError, match="form name=value") as caught:
        normalise(["age", "age=old", "age=nan", "age=20"], spec)
    for part in ("'age'", "age='old'", "age='nan'", "18-24"):
        assert part in str(caught.value)


def test_only_the_standard_library_is_imported() -> None:
    code = (
        "import sys; before = set(sys.modules); import counterpoint.attributes; "
        "new = {m.partition('.')[0] for m in set(sys.modules) - before}; "
        "print(sorted(new - set(sys.stdlib_module_names)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['counterpoint']"
