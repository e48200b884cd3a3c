import json
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterpoint import columns
from feature_repo.push import EVENT
from feature_repo.server.events import MOST_EVENTS, BadRequest, read

GOOD = {"user_id": "u", "item_id": "i"}


def body(*events: Any) -> bytes:
    return json.dumps({"events": list(events)}).encode()


def test_defaults_are_now_and_liked() -> None:
    before = datetime.now(UTC)
    frame = read(body(GOOD))
    assert frame.schema == EVENT
    row = frame.row(0, named=True)
    assert row[columns.POSITIVE] is True
    assert before.replace(microsecond=0) <= row[columns.TIMESTAMP] <= datetime.now(UTC)


@pytest.mark.parametrize(
    "stamp",
    ["2020-01-02T03:04:05Z", "2020-01-02T03:04:05", "2020-01-02T04:04:05+01:00", 1577934245000000],
)
def test_times_are_iso_or_microseconds(stamp: object) -> None:
    frame = read(body(GOOD | {"timestamp": stamp, "positive": False}))
    assert frame.row(0) == ("u", "i", datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC), False)


@pytest.mark.parametrize(
    ("content", "fields"),
    [
        (b"{", ["body"]),
        (b"[]", ["body"]),
        (b"{}", ["events"]),
        (body(), ["events"]),
        (body(*[GOOD] * (MOST_EVENTS + 1)), ["events"]),
        (body(GOOD, {"user_id": "u"}), ["events[1].item_id"]),
        (body(GOOD | {"user_id": ""}), ["events[0].user_id"]),
        (body(GOOD | {"user_id": 7}), ["events[0].user_id"]),
        (body(GOOD | {"user_id": "a\0b"}), ["events[0].user_id"]),
        (body(GOOD | {"user_id": "x" * 513}), ["events[0].user_id"]),
        (body(GOOD | {"user_id": "\ud800"}), ["body"]),
        (body(GOOD | {"item_id": None}), ["events[0].item_id"]),
        (body(GOOD | {"timestamp": "soon"}), ["events[0].timestamp"]),
        (body(GOOD | {"timestamp": 0}), ["events[0].timestamp"]),
        (body(GOOD | {"timestamp": True}), ["events[0].timestamp"]),
        (body(GOOD | {"timestamp": 1.5}), ["events[0].timestamp"]),
        pytest.param(
            body(GOOD | {"timestamp": int(1e6 * (time.time() + 86_400))}),
            ["events[0].timestamp"],
            id="tomorrow",
        ),
        (body(GOOD | {"positive": "yes"}), ["events[0].positive"]),
        (body(GOOD | {"liked": True}), ["events[0].liked"]),
        (body({"item_id": 1}), ["events[0].user_id", "events[0].item_id"]),
    ],
)
def test_faults_name_the_field(content: bytes, fields: list[str]) -> None:
    with pytest.raises(BadRequest) as raised:
        read(content)
    assert [fault["field"] for fault in raised.value.faults] == fields
    assert len(str(raised.value)) < 1_000


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
FIELDS = st.sampled_from(["user_id", "item_id", "timestamp", "positive"])


@given(st.binary() | st.builds(body, st.dictionaries(FIELDS, JSON)) | JSON.map(body))
def test_any_body_is_read_or_refused(content: bytes) -> None:
    try:
        frame = read(content)
    except BadRequest as error:
        assert error.faults and 400 <= error.status < 500
    else:
        assert frame.schema == EVENT and not sum(frame.null_count().row(0))
