"""Counters, gauges and histograms that are added up here and handed over once a second.

Telling Triton of one number costs about 45 µs (a message to another process), a request has dozens:
adding up first makes the cost of a request a few dictionary updates. A histogram is handed over as
the counters that Prometheus makes of one anyway (``_bucket`` with label ``le``, ``_sum``,
``_count``), because Triton's histogram takes observations one by one.
"""

import logging
import threading
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate
from typing import Protocol

logger = logging.getLogger(__name__)

Labels = tuple[tuple[str, str], ...]
Series = tuple[str, Labels]

BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
"""Upper bounds in seconds: fine around the goal of 10 ms."""

FLUSH_SECONDS = 1.0
PAUSE_SECONDS = 0.002


class Sink(Protocol):
    """Where the numbers go."""

    def add(self, series: Series, value: float) -> None:
        """Increase a counter."""
        ...

    def set(self, series: Series, value: float) -> None:
        """Set a gauge."""
        ...


class Meters:
    """Adds up numbers and hands them over from a thread of its own.

    Args:
        sink: Gets what has changed since the last time.
        before: Called before each time, to set gauges.
        seconds: Between two times.
    """

    def __init__(
        self, sink: Sink, *, before: Callable[[], None], seconds: float = FLUSH_SECONDS
    ) -> None:
        self._sink = sink
        self._before = before
        self._lock = threading.Lock()
        self._counters: dict[Series, float] = {}
        self._gauges: dict[Series, float] = {}
        self._histograms: dict[Series, list[float]] = {}
        self._stop = threading.Event()
        self._seconds = seconds
        self._thread = threading.Thread(target=self._run, name="meters", daemon=True)
        self._thread.start()

    def add(self, series: Series, value: float = 1.0) -> None:
        """Increase a counter."""
        with self._lock:
            self._counters[series] = self._counters.get(series, 0.0) + value

    def set(self, series: Series, value: float) -> None:
        """Set a gauge."""
        with self._lock:
            self._gauges[series] = value

    def observe(self, series: Series, seconds: float) -> None:
        """Add one duration to a histogram."""
        with self._lock:
            counts = self._histograms.get(series)
            if counts is None:
                counts = self._histograms[series] = [0.0] * (len(BUCKETS) + 2)
            counts[bisect_left(BUCKETS, seconds)] += 1
            counts[-1] += seconds

    def flush(self, *, pause: float = 0.0) -> None:
        """Hand over what has changed.

        Args:
            pause: Seconds between two numbers: all of them at once would hold up a request.
        """
        self._before()
        with self._lock:
            counters, self._counters = self._counters, {}
            gauges, self._gauges = self._gauges, {}
            histograms, self._histograms = self._histograms, {}
        for hand_over, number, value in self._messages(counters, gauges, histograms):
            hand_over(number, value)
            if pause:
                self._stop.wait(pause)

    def close(self) -> None:
        """Hand over the rest and end the thread."""
        self._stop.set()
        self._thread.join(timeout=5.0)
        self.flush()

    def _messages(
        self,
        counters: Mapping[Series, float],
        gauges: Mapping[Series, float],
        histograms: Mapping[Series, list[float]],
    ) -> Iterator[tuple[Callable[[Series, float], None], Series, float]]:
        for number, value in counters.items():
            yield self._sink.add, number, value
        for number, value in gauges.items():
            yield self._sink.set, number, value
        for (name, labels), counts in histograms.items():
            totals = [*accumulate(counts[:-1])]
            yield self._sink.add, (f"{name}_count", labels), totals[-1]
            yield self._sink.add, (f"{name}_sum", labels), counts[-1]
            # Widest first: whoever reads between two of them sees no bucket above a wider one.
            bounds = (*map(_bound, BUCKETS), "+Inf")
            for bound, total in reversed([*zip(bounds, totals, strict=True)]):
                if total:
                    yield self._sink.add, (f"{name}_bucket", (*labels, ("le", bound))), total

    def _run(self) -> None:
        while not self._stop.wait(self._seconds):
            try:
                self.flush(pause=PAUSE_SECONDS)
            except Exception:  # Metrics must not end with one bad hand-over.
                logger.exception("Metrics could not be handed over")


def series(name: str, labels: Mapping[str, str] | None = None) -> Series:
    """Name a series; build it once where it is used often."""
    return name, tuple((labels or {}).items())


def _bound(value: float) -> str:
    return f"{value:g}"
