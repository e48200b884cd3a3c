"""The shadow: it is compared, counted and logged, and never disturbs who answers."""

import json
import logging
import threading
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.engine.shadow import Ranking, Shadow, _differences


class Counts:
    """A meter that a test can wait for."""

    def __init__(self) -> None:
        self.overlaps: list[float] = []
        self.dropped = 0

    def shadowed(self, overlap: float) -> None:
        self.overlaps.append(overlap)

    def shadow_dropped(self) -> None:
        self.dropped += 1


def offer(shadow: Shadow[str], query: str, answer: Any, ranking: Ranking) -> None:
    shadow.offer(
        query,
        version="b",
        answer=answer,
        trace_id=f"trace {query}",
        served="a",
        ranking=ranking,
        seconds=0.002,
    )


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [json.loads(record.getMessage().removeprefix("shadow ")) for record in caplog.records]


def wait(condition: Any) -> None:
    end = time.monotonic() + 20
    while not condition() and time.monotonic() < end:
        time.sleep(0.005)
    assert condition()


def test_a_copy_is_compared(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    counts = Counts()
    shadow: Shadow[str] = Shadow(counts)
    served = Ranking(["x", "y", "z", "w"], [4.0, 3.0, 2.0, 1.0])
    offer(shadow, "q", lambda query: Ranking(["y", "x", query], [3.5, 3.0, 1.0]), served)
    wait(lambda: counts.overlaps)
    shadow.close()
    assert counts.overlaps == [0.5]
    (line,) = lines(caplog)
    assert line["trace_id"] == "trace q"
    assert (line["served"], line["shadow"]) == ("a", "b")
    assert line["score_difference"] == pytest.approx(0.75)
    assert line["same_first"] is False
    assert line["served_seconds"] == 0.002


def test_a_full_queue_drops_and_never_waits(caplog: pytest.LogCaptureFixture) -> None:
    counts, begun, go_on = Counts(), threading.Event(), threading.Event()
    shadow: Shadow[str] = Shadow(counts, size=2)
    same = Ranking(["x"], [1.0])

    def slow(query: str) -> Ranking:
        begun.set()
        assert go_on.wait(20)
        return same

    offer(shadow, "first", slow, same)
    assert begun.wait(20)
    for name in ("second", "third", "fourth", "fifth"):
        offer(shadow, name, slow, same)
    assert counts.dropped == 2
    assert [line["trace_id"] for line in lines(caplog)] == ["trace fourth", "trace fifth"]
    go_on.set()
    wait(lambda: len(counts.overlaps) == 3)
    shadow.close()


def test_a_failing_shadow_is_logged_and_the_next_copy_is_asked(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING, logger="serving.engine.shadow")
    counts = Counts()
    shadow: Shadow[str] = Shadow(counts)
    same = Ranking(["x"], [1.0])

    def broken(query: str) -> Ranking:
        raise ValueError(query)

    offer(shadow, "bad", broken, same)
    offer(shadow, "good", lambda query: same, same)
    wait(lambda: counts.overlaps == [1.0])
    shadow.close()
    assert lines(caplog) == [{"shadow": "b", "trace_id": "trace bad", "error": "ValueError"}]


RANKINGS = st.lists(st.sampled_from("abcdefg"), unique=True).flatmap(
    lambda items: st.builds(
        Ranking,
        st.just(items),
        st.lists(st.floats(-5, 5), min_size=len(items), max_size=len(items)),
    )
)


@given(RANKINGS, RANKINGS)
def test_differences(one: Ranking, two: Ranking) -> None:
    found, same = _differences(one, two), _differences(one, one)
    assert same == {"overlap": 1.0, "same_first": True, "score_difference": 0.0}
    assert 0 <= found["overlap"] <= 1
    assert (found["overlap"] == 0) == (not set(one.items) & set(two.items)) or not one.items
    swapped = _differences(two, one)
    assert found["score_difference"] == pytest.approx(swapped["score_difference"])
