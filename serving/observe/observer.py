"""What a front reports while it answers; the front depends on this file only."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from serving.observe.trace_context import TraceContext

STAGES = ("parse", "users", "graph", "live_items", "rules", "answer")
"""The parts of an execution whose time is measured, in their order."""


@dataclass(frozen=True, slots=True)
class Answered:
    """One answered row of a request.

    Attributes:
        trace: Trace context of the request.
        version: Version that answered.
        source: known_user, history, attributes or start_page.
        degraded: The feature server was down.
        items: Item ids, best first.
        user: User id as the request gave it; never written as such (serving/observe/pseudonyms.py).
        role: champion or canary.
        cold: How many of the items had no interactions when the version was trained.
        question: Name of the row, if it is not that of the trace.
        scores: Score of each item.
        propensities: Probability of each item at its place, if exploration drew it.
        rules: Options of the rules that applied, by name.
    """

    trace: TraceContext
    version: str
    source: str
    degraded: bool
    items: Sequence[str]
    user: str = ""
    role: str = "champion"
    cold: int = 0
    question: str = ""
    scores: Sequence[float] = ()
    propensities: Sequence[float] = ()
    rules: Mapping[str, Any] = field(default_factory=dict)


class Observer(Protocol):
    """Told of everything by the thread that answers; ``shadowed`` and ``shadow_dropped`` by any."""

    def stage(self, name: str, seconds: float) -> None:
        """A stage of the current execution took this long (for all of its requests together)."""
        ...

    def answered(self, answer: Answered) -> None:
        """A row was answered."""
        ...

    def refused(self, message: str, trace: TraceContext) -> None:
        """A request was refused; the message begins with the field and a colon."""
        ...

    def failed(self, error: BaseException, traces: Sequence[TraceContext]) -> None:
        """The execution of these requests failed for a reason that is not theirs."""
        ...

    def finish(self) -> None:
        """The current execution is over: what it reported belongs together."""
        ...

    def serves(self, champion: str, canary: str = "", shadow: str = "") -> None:
        """These versions are served from now on."""
        ...

    def shadowed(self, overlap: float) -> None:
        """The shadow answered a copy of a request; share of the answer's items it also chose."""
        ...

    def shadow_dropped(self) -> None:
        """A request was not shown to the shadow, because it could not keep up."""
        ...

    def close(self) -> None:
        """Write out everything."""
        ...


class StopWatch:
    """Reports how long each stage took since the one before it."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        """Report the time since the last lap as that of this stage."""
        now = time.perf_counter()
        self._observer.stage(stage, now - self._last)
        self._last = now


class Silent:
    """Observes nothing: fronts outside Triton, and what no caller waits for."""

    def stage(self, name: str, seconds: float) -> None:
        """Do nothing."""

    def answered(self, answer: Answered) -> None:
        """Do nothing."""

    def refused(self, message: str, trace: TraceContext) -> None:
        """Do nothing."""

    def failed(self, error: BaseException, traces: Sequence[TraceContext]) -> None:
        """Do nothing."""

    def finish(self) -> None:
        """Do nothing."""

    def serves(self, champion: str, canary: str = "", shadow: str = "") -> None:
        """Do nothing."""

    def shadowed(self, overlap: float) -> None:
        """Do nothing."""

    def shadow_dropped(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


UNTIMED = StopWatch(Silent())
"""May be lapped by any thread, because nobody listens."""
