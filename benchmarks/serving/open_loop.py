"""An open-loop load generator: requests leave when they are due, whatever became of the others.

A closed loop waits for a slow answer before it asks again and so spares the server exactly when it
is slow (coordinated omission). Here each latency counts from the moment the request was due: a
request that had to wait, in the server or in this process, is as late as its caller would see it.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Spacing = Literal["poisson", "even"]
Done = Callable[[str | None], None]
"""Called by any thread when the answer is there; with what is wrong with it, or None."""

Send = Callable[[int, Done], None]
"""Sends request n and returns at once."""

GRACE_SECONDS = 30.0


def arrivals(
    rate: float, count: int, *, spacing: Spacing = "poisson", seed: int = 0
) -> npt.NDArray[np.float64]:
    """Return when requests are due, in seconds from the start, ascending.

    Args:
        rate: Requests per second on average.
        count: Number of requests.
        spacing: ``poisson``: exponential gaps, as many independent callers make them; ``even``:
            equal gaps.
        seed: Of the gaps.

    Raises:
        ValueError: The rate is not positive.
    """
    if rate <= 0:
        raise ValueError(f"rate: {rate} is not allowed; send a positive number of requests/s.")
    if spacing == "even":
        return np.arange(count) / rate
    return np.cumsum(np.random.default_rng(seed).exponential(1 / rate, count))


@dataclass
class Outcome:
    """What became of the requests of one run.

    Attributes:
        milliseconds: (n,) latency of each request from when it was due; infinite: no answer.
        failures: Number of request -> what went wrong.
        late_ms: (n,) how late each request left this process.
        moments: (n,) when each request was due, by the clock.
    """

    milliseconds: npt.NDArray[np.float64]
    failures: dict[int, str] = field(default_factory=dict)
    late_ms: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    moments: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))


def open_loop(
    send: Send,
    due: npt.NDArray[np.float64],
    *,
    clock: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], Any] = time.sleep,
    wait: Callable[[threading.Event], Any] = lambda event: event.wait(GRACE_SECONDS),
) -> Outcome:
    """Send each request when it is due and wait for all answers.

    Args:
        send: Sends a request without waiting for its answer.
        due: Seconds from the start, ascending (``arrivals``).
        clock: Seconds.
        sleep: Waits.
        wait: Waits for the last answer.
    """
    outcome = Outcome(np.full(len(due), np.inf), late_ms=np.zeros(len(due)))
    open_, lock, finished = [len(due)], threading.Lock(), threading.Event()
    start = clock()
    outcome.moments = start + due

    def done(number: int, wrong: str | None) -> None:
        outcome.milliseconds[number] = (clock() - start - due[number]) * 1e3
        with lock:
            if wrong is not None:
                outcome.failures[number] = wrong
            open_[0] -= 1
            if not open_[0]:
                finished.set()

    for number, moment in enumerate(due):
        while (left := start + moment - clock()) > 0:
            sleep(left)
        outcome.late_ms[number] = -left * 1e3
        send(number, lambda wrong, number=number: done(number, wrong))
    if len(due):
        wait(finished)
    for number in np.flatnonzero(np.isinf(outcome.milliseconds)):
        outcome.failures.setdefault(int(number), "no answer")
    return outcome


def percentiles(milliseconds: npt.NDArray[np.float64]) -> dict[str, float]:
    """Return p50, p90, p99 and the greatest; unanswered requests count as infinite."""
    shares = np.percentile(milliseconds, (50, 90, 99), method="higher")
    names = ("p50_ms", "p90_ms", "p99_ms")
    found = {name: round(float(value), 2) for name, value in zip(names, shares, strict=True)}
    return found | {"max_ms": round(float(milliseconds.max()), 2)}
