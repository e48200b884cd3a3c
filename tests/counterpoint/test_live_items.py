from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from counterpoint.live_items import FIELDS, FaultyItem, LiveItem, instant, micros, parse

SPEC = {"genre": {"separator": "|"}, "year": {"bins": [1990, 2000]}}
WHOLE = {
    "item_id": "n 1",
    "title": "  Heat ",
    "text": "A thief.",
    "attributes": ["genre=Crime|Drama", "year=1995"],
    "available_from": "2026-01-01",
    "available_until": "2026-02-01T00:00:00+02:00",
}


def test_an_item_is_read_and_written_back() -> None:
    item = parse(WHOLE, spec=SPEC)
    assert item.title == "Heat"
    assert item.available_until == micros(datetime(2026, 1, 31, 22, tzinfo=UTC))
    assert item.tokens(SPEC) == ["genre=Crime", "genre=Drama", "year=1990-1999"]
    assert item.described(SPEC) == "Heat. genre: Crime, Drama. year: 1990-1999. A thief"
    assert parse(item.row(), spec=SPEC) == item


def test_attributes_may_be_an_object() -> None:
    item = parse({"item_id": "a", "attributes": {"genre": ["Crime", "Drama"], "year": 1995}})
    assert item.attributes == ("genre=Crime", "genre=Drama", "year=1995")


def test_only_the_id_is_needed() -> None:
    assert parse({"item_id": "a", "title": None, "text": " "}) == LiveItem("a")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("item_id", None),
        ("item_id", ""),
        ("item_id", "   "),
        ("item_id", " a"),
        ("item_id", 7),
        ("item_id", "x" * 257),
        ("item_id", "a\nb"),
        ("item_id", "\ud800"),
        ("title", 5),
        ("title", "x" * 1001),
        ("title", "\ud800"),
        ("title", "a\0b"),
        ("text", ["a"]),
        ("text", "x" * 20_001),
        ("attributes", "genre=Drama"),
        ("attributes", 3),
        ("attributes", ["Drama"]),
        ("attributes", ["=Drama"]),
        ("attributes", [1]),
        ("attributes", ["year=soon"]),
        ("attributes", ["year=nan"]),
        ("attributes", {"year": "soon"}),
        ("attributes", {"genre": "x" * 300}),
        ("attributes", {"genre": {}}),
        ("attributes", {"genre": [["Drama"]]}),
        ("attributes", [f"a={n}" for n in range(201)]),
        ("available_from", "tomorrow"),
        ("available_from", 5),
        ("available_from", True),
        ("available_until", "2026-13-01"),
        ("available_until", "2025-12-31"),
        ("available_until", "2026-01-01"),
        ("colour", "red"),
    ],
)
def test_a_fault_names_its_field(field: str, value: object) -> None:
    with pytest.raises(FaultyItem, match=rf"^{field}: "):
        parse(WHOLE | {field: value}, spec=SPEC)


@pytest.mark.parametrize("value", [None, [], "a", 5])
def test_an_item_is_an_object(value: object) -> None:
    with pytest.raises(FaultyItem, match=r"^item: "):
        parse(value)  # type: ignore[arg-type]


VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text("=|aé \0\ud800-01", max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab=", max_size=2), inner),
    max_leaves=4,
)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.dictionaries(st.sampled_from([*FIELDS, "else"]), VALUES))
def test_anything_is_an_item_or_a_named_fault(given_item: dict[str, object]) -> None:
    try:
        item = parse(given_item, spec=SPEC)
    except FaultyItem as error:
        assert str(error).split(":")[0] in (*FIELDS, "else")
        return
    assert parse(item.row(), spec=SPEC) == item


@given(
    st.datetimes(
        min_value=datetime(1, 1, 2),
        max_value=datetime(9999, 12, 30),
        timezones=st.just(timezone(timedelta(hours=5))),
    )
)
def test_times_keep_their_microseconds(moment: datetime) -> None:
    written = instant(micros(moment))
    assert written is not None
    assert datetime.fromisoformat(written) == moment
