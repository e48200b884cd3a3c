"""Measure what observing costs an answer: ``python -m benchmarks.serving.observing``.

Everything that the answering thread does for one request of ten items (trace context, stages,
counters, log line, impression), while the other threads hand over and write as they do when served.
"""

import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Mapping

import numpy as np

from serving.observe import serving_observer, trace_context
from serving.observe.meters import Series
from serving.observe.observer import STAGES, Answered, StopWatch

REQUESTS = 20_000
MESSAGE_SECONDS = 45e-6
"""What telling Triton one number takes (measured with server 2.51)."""

PARENT = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}


class Triton:
    """Takes metrics as slowly as Triton does."""

    def add(self, series: Series, value: float) -> None:
        """Wait."""
        time.sleep(MESSAGE_SECONDS)

    def set(self, series: Series, value: float) -> None:
        """Wait."""
        time.sleep(MESSAGE_SECONDS)


def cost(options: Mapping[str, str]) -> np.ndarray:
    """Return the microseconds of each request."""
    observer = serving_observer.start(options, Triton(), instance="0", fields=["k"])
    observer.serves("v1")
    items, scores = [str(i) for i in range(10)], [float(i) for i in range(10)]
    taken = np.empty(REQUESTS)
    for request in range(REQUESTS):
        started = time.perf_counter()
        _, trace = trace_context.apart(PARENT)
        watch = StopWatch(observer)
        for stage in STAGES:
            watch.lap(stage)
        observer.answered(
            Answered(trace, "v1", "known_user", False, items, "anna", scores=scores, cold=1)
        )
        observer.finish()
        taken[request] = time.perf_counter() - started
        if request % 10 == 0:
            time.sleep(0.0005)
    observer.close()
    return taken * 1e6


def main() -> None:
    """Print a table."""
    print("| log_requests | impressions | p50 us | p99 us | mean us |")
    print("| --- | --- | ---: | ---: | ---: |")
    for level in ("errors", "all"):
        for kept in (False, True):
            with (
                tempfile.TemporaryDirectory() as folder,
                open(os.devnull, "w") as nowhere,
                contextlib.redirect_stderr(nowhere),
            ):
                taken = cost({"log_requests": level, "impressions": folder if kept else ""})
            p50, p99 = np.percentile(taken, [50, 99])
            row = f"| {level} | {'yes' if kept else 'no'} | {p50:.0f} | {p99:.0f} |"
            print(f"{row} {taken.mean():.0f} |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
