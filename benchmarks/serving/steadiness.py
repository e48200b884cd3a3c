"""How steadily the machine ran during a measurement, seen by short bursts of equal work beside it.

A virtual machine may run all its CPUs at a tenth of their speed for tens of milliseconds, some
percent of the time, while its clocks show neither a gap nor stolen time. Nothing that a server does
shows in its p99 there. Each CPU gets a process that computes the same sum a hundred times a second;
what counts is the CPU time of the sum, which waiting for the CPU does not change.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

PERIOD_SECONDS = 0.01
STEPS = 1000
"""Of a burst: about 0.1 ms."""

SLOW = 3.0
"""A burst that takes this many times the median is slow."""

AFTER_SECONDS = 0.1
"""What waits behind a slow stretch is gone by then."""

Floats = npt.NDArray[np.float64]


@dataclass
class Steadiness:
    """What the bursts showed; complete when the block of ``watching`` has ended.

    Attributes:
        burst_us: Median microseconds of a burst: how fast the machine was.
        slow_share: Share of the bursts that were slow.
        slow: (n,) moments (time.perf_counter) of the slow bursts, ascending.
    """

    burst_us: float = 0.0
    slow_share: float = 0.0
    slow: Floats = field(default_factory=lambda: np.zeros(0))

    def steady(self, begin: Floats, end: Floats) -> npt.NDArray[np.bool_]:
        """Return which intervals no slow burst lies in, nor in the 0.1 s before.

        Args:
            begin: (n,) moments (time.perf_counter).
            end: (n,) moments, later.
        """
        first = np.searchsorted(self.slow, begin - AFTER_SECONDS)
        later = np.append(self.slow, np.inf)[first]
        return later > end + PERIOD_SECONDS


@contextlib.contextmanager
def watching() -> Iterator[Steadiness]:
    """Let bursts run on every CPU until the block ends."""
    found = Steadiness()
    cpus = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(prefix="counterpoint-steadiness-") as folder:
        files = [Path(folder) / f"{cpu}.npy" for cpu in cpus]
        processes = [
            subprocess.Popen(
                [sys.executable, "-m", __name__, str(cpu), str(file)], stdout=subprocess.PIPE
            )
            for cpu, file in zip(cpus, files, strict=True)
        ]
        try:
            for process in processes:
                assert process.stdout is not None
                process.stdout.readline()
            yield found
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                process.communicate()
        _summarise(found, [np.load(file) for file in files])


def _summarise(found: Steadiness, bursts: Sequence[Floats]) -> None:
    """Read the (2, n) moments and seconds of the bursts of each CPU."""
    slow = [moments[seconds > SLOW * np.median(seconds)] for moments, seconds in bursts]
    every = np.concatenate([seconds for _, seconds in bursts])
    found.slow = np.sort(np.concatenate(slow))
    found.slow_share = len(found.slow) / len(every)
    found.burst_us = float(np.median(every)) * 1e6


def _bursts(cpu: int, file: Path) -> None:
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    os.sched_setaffinity(0, {cpu})
    print("ready", flush=True)
    moments: list[float] = []
    seconds: list[float] = []
    due = time.perf_counter()
    while not stop.is_set():
        due += PERIOD_SECONDS
        time.sleep(max(0.0, due - time.perf_counter()))
        before, total = time.thread_time(), 0
        for step in range(STEPS):
            total += step
        seconds.append(time.thread_time() - before)
        moments.append(time.perf_counter())
    np.save(file, np.array([moments, seconds]))


if __name__ == "__main__":
    _bursts(int(sys.argv[1]), Path(sys.argv[2]))
