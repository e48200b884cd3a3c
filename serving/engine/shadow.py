"""The shadow: another version answers copies of the requests, and only the differences are noted.

Copies wait in a bounded queue for a thread of their own; when it is full they are dropped and
counted, so a slow shadow costs the served answers nothing. Runs inside Triton: standard library
only.
"""

import contextlib
import json
import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Generic, Protocol, TypedDict, TypeVar

logger = logging.getLogger(__name__)

QUEUE = 64
"""Copies that may wait."""

Q_contra = TypeVar("Q_contra", contravariant=True)
Q = TypeVar("Q")


@dataclass(frozen=True)
class Ranking:
    """The part of an answer that is compared: items, best first, with their scores."""

    items: Sequence[str]
    scores: Sequence[float]


@dataclass(frozen=True)
class Comparison:
    """One request answered twice.

    Attributes:
        trace_id: Trace id of the request.
        served: Version whose answer was sent.
        shadow: Version that was only asked.
        overlap: Share of the served items that the shadow shows too, in any order; 1 for an empty
            answer that is empty in both.
        same_first: Whether both put the same item first.
        score_difference: Mean absolute difference of the scores of the items that both show; 0 when
            they share none.
        seconds: Time the shadow took.
        served_seconds: Time the served answer took.
    """

    trace_id: str
    served: str
    shadow: str
    overlap: float
    same_first: bool
    score_difference: float
    seconds: float
    served_seconds: float


class Meter(Protocol):
    """Counts what the shadow does; called by any thread (serving/observe)."""

    def shadowed(self, overlap: float) -> None:
        """A copy was answered; share of the served items that the shadow shows too."""
        ...

    def shadow_dropped(self) -> None:
        """A copy was not asked, because too many waited."""
        ...


class Answer(Protocol[Q_contra]):
    """Has a version rank the items for one query."""

    def __call__(self, query: Q_contra) -> Ranking:
        """Return the ranking."""
        ...


@dataclass(frozen=True)
class _Copy(Generic[Q]):
    trace_id: str
    version: str
    answer: Answer[Q]
    query: Q
    served: str
    ranking: Ranking
    seconds: float


class Shadow(Generic[Q]):
    """Answers copies in a thread of its own, and writes one structured log line for each.

    Args:
        meter: Counts; none: the log lines are all.
        size: Copies that may wait.
        clock: Seconds, for the time an answer takes.
    """

    def __init__(
        self,
        meter: Meter | None = None,
        *,
        size: int = QUEUE,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.meter = meter
        self._clock = clock
        self._waiting: queue.Queue[_Copy[Q] | None] = queue.Queue(size)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._work, name="shadow", daemon=True)
        self._thread.start()

    def offer(
        self,
        query: Q,
        *,
        version: str,
        answer: Answer[Q],
        trace_id: str,
        served: str,
        ranking: Ranking,
        seconds: float,
    ) -> None:
        """Queue a copy of an answered request; never waits.

        Args:
            query: The request; must not be changed afterwards.
            version: Name of the shadow.
            answer: Asks the shadow.
            trace_id: Trace id of the request.
            served: Version whose answer is sent.
            ranking: That answer.
            seconds: Time that answer took.
        """
        try:
            self._waiting.put_nowait(
                _Copy(trace_id, version, answer, query, served, ranking, seconds)
            )
        except queue.Full:
            self._log(logging.WARNING, {"shadow": version, "trace_id": trace_id, "dropped": True})
            if self.meter is not None:
                self.meter.shadow_dropped()

    def close(self) -> None:
        """End the thread; copies that wait are let go."""
        self._closed.set()
        with contextlib.suppress(queue.Full):
            self._waiting.put_nowait(None)
        self._thread.join()

    def _work(self) -> None:
        while (copy := self._waiting.get()) is not None and not self._closed.is_set():
            try:
                self._answer(copy)
            except Exception as error:  # Whatever is wrong with the shadow stays with it.
                # Not the error's text: it may quote the request and with it user ids.
                kind = type(error).__name__
                about = {"shadow": copy.version, "trace_id": copy.trace_id, "error": kind}
                self._log(logging.ERROR, about)
            # Else a version that is no longer wanted would live until the next copy.
            del copy

    def _answer(self, copy: _Copy[Q]) -> None:
        before = self._clock()
        found = copy.answer(copy.query)
        seconds = self._clock() - before
        compared = Comparison(
            trace_id=copy.trace_id,
            served=copy.served,
            shadow=copy.version,
            **_differences(copy.ranking, found),
            seconds=round(seconds, 6),
            served_seconds=round(copy.seconds, 6),
        )
        self._log(logging.INFO, asdict(compared))
        if self.meter is not None:
            self.meter.shadowed(compared.overlap)

    def _log(self, level: int, about: Mapping[str, Any]) -> None:
        logger.log(level, "shadow %s", json.dumps(about, ensure_ascii=False))


class _Differences(TypedDict):
    overlap: float
    same_first: bool
    score_difference: float


def _differences(served: Ranking, shadow: Ranking) -> _Differences:
    first = dict(zip(served.items, served.scores, strict=True))
    second = dict(zip(shadow.items, shadow.scores, strict=True))
    shared = first.keys() & second.keys()
    gaps = [abs(first[item] - second[item]) for item in shared]
    overlap = len(shared) / len(first) if first else float(not second)
    return {
        "overlap": overlap,
        "same_first": list(first)[:1] == list(second)[:1],
        "score_difference": sum(gaps) / len(gaps) if gaps else 0.0,
    }
