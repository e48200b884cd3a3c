"""Arrivals and waiting of the open loop, on a clock that only moves when told."""

import heapq
import threading
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.serving.open_loop import Done, Outcome, arrivals, open_loop, percentiles


class Simulated:
    """A server of one thread and a clock; answers come when the clock passes them."""

    def __init__(self, service: Callable[[int], float]) -> None:
        self.now = 0.0
        self._free = 0.0
        self._service = service
        self._due: list[tuple[float, int, Done]] = []

    def clock(self) -> float:
        return self.now

    def send(self, number: int, done: Done) -> None:
        self._free = max(self._free, self.now) + self._service(number)
        heapq.heappush(self._due, (self._free, number, done))

    def sleep(self, seconds: float) -> None:
        self._until(self.now + seconds)

    def wait(self, event: threading.Event) -> None:
        self._until(max([self.now, *(moment for moment, _, _ in self._due)]))

    def _until(self, end: float) -> None:
        while self._due and self._due[0][0] <= end:
            self.now, _, done = heapq.heappop(self._due)
            done(None)
        self.now = end


def run(server: Simulated, due: np.ndarray) -> Outcome:
    return open_loop(server.send, due, clock=server.clock, sleep=server.sleep, wait=server.wait)


def test_waiting_counts() -> None:
    """A server that needs twice the gap falls behind by one gap a request."""
    outcome = run(Simulated(lambda number: 0.02), arrivals(100, 50, spacing="even"))
    np.testing.assert_allclose(outcome.milliseconds, 20 + 10 * np.arange(50))
    assert not outcome.failures


def test_one_stall_delays_all_that_were_due_meanwhile() -> None:
    stall = Simulated(lambda number: 1.0 if number == 10 else 0.001)
    outcome = run(stall, arrivals(100, 300, spacing="even"))
    assert outcome.milliseconds[:10] == pytest.approx(1.0)
    assert np.sum(outcome.milliseconds > 5) > 90  # A closed loop would have seen one.
    assert outcome.milliseconds[-1] == pytest.approx(1.0)


def test_a_request_that_leaves_late_is_as_late_as_its_caller_sees_it() -> None:
    server = Simulated(lambda number: 0.001)

    def slow(number: int, done: Done) -> None:
        server.now += 0.03 if number == 0 else 0.0
        server.send(number, done)

    due = arrivals(100, 3, spacing="even")
    outcome = open_loop(slow, due, clock=server.clock, sleep=server.sleep, wait=server.wait)
    assert outcome.late_ms[1] == pytest.approx(20)
    assert outcome.milliseconds[1] >= 20


def test_no_answer_and_wrong_answers_are_failures() -> None:
    def send(number: int, done: Done) -> None:
        if number:
            done("refused" if number == 1 else None)

    outcome = open_loop(send, np.zeros(3), wait=lambda event: None)
    assert outcome.failures == {0: "no answer", 1: "refused"}
    assert np.isinf(outcome.milliseconds[0])
    assert percentiles(outcome.milliseconds)["p99_ms"] == np.inf


@given(st.floats(1, 1000), st.integers(0, 200), st.integers(0, 9))
def test_arrivals_ascend_and_are_the_same_for_a_seed(rate: float, count: int, seed: int) -> None:
    due = arrivals(rate, count, seed=seed)
    assert len(due) == count and (np.diff(due) >= 0).all() and (due >= 0).all()
    np.testing.assert_array_equal(due, arrivals(rate, count, seed=seed))


def test_poisson_arrivals_have_their_rate_and_spread() -> None:
    gaps = np.diff(arrivals(100, 20_000, seed=1))
    assert gaps.mean() == pytest.approx(0.01, rel=0.03)
    assert gaps.std() == pytest.approx(0.01, rel=0.05)
    np.testing.assert_allclose(np.diff(arrivals(100, 50, spacing="even")), 0.01)


def test_a_rate_is_positive() -> None:
    with pytest.raises(ValueError, match="rate: 0"):
        arrivals(0, 1)
