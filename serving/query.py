"""A request of `recommend` as checked values (inside Triton: standard library and numpy only).

What is checked here holds for every version; what a version's catalogue decides (which ids are
known, how long a list may be) is checked by the version that answers (engine/version.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from serving.engine.rule_set import RuleBook, RuleSet
from serving.fields import MAX_REQUEST_BYTES, check_size, like, rows_of, text, text_rows
from serving.observe.trace_context import TraceContext
from serving.spec import Arrays, InvalidInput

DEFAULT_K = 10
MAX_TRACE_ID = 64


@dataclass(slots=True)
class Query:
    """One row of a request.

    Attributes:
        user_id: Empty: nobody known.
        history: Item ids, oldest first.
        liked: Whether each entry of the history was liked.
        attributes: ``name=value``, as sent.
        allow: Item ids that alone may be recommended; empty: all.
        exclude: Item ids to leave out.
        k: Length of the list.
        rules: What filters and re-ranks.
        trace_id: Names the question.
        trace: Of the request; its id is that of the question unless the request names another.
    """

    k: int
    rules: RuleSet
    trace_id: str
    trace: TraceContext
    user_id: str = ""
    history: Sequence[str] = ()
    liked: Sequence[bool] = ()
    attributes: Sequence[str] = ()
    allow: Sequence[str] = ()
    exclude: Sequence[str] = ()


@dataclass
class QueryReader:
    """Turns request tensors into queries.

    Attributes:
        rules: Reads rules, and knows the defaults.
        max_bytes: Most bytes of one request.
    """

    rules: RuleBook = field(default_factory=RuleBook)
    max_bytes: int = MAX_REQUEST_BYTES

    def read(self, request: Arrays, trace: TraceContext) -> list[Query]:
        """Return one query per row.

        Args:
            request: The tensors.
            trace: Trace of the request, to which all of its rows belong.

        Raises:
            InvalidInput: Names the field, its value and what is allowed.
        """
        check_size(request, self.max_bytes)
        size = rows_of(request, but={"rules"})
        ks = like(request, "k", "the rows", np.full((size, 1), DEFAULT_K, np.int32))
        rules = self._rules(request, size)
        columns: dict[str, Sequence[Any]] = {}
        if "user_id" in request:
            columns["user_id"] = [row[0] if row else "" for row in text_rows(request, "user_id")]
        for name in ("attributes", "allow", "exclude"):
            if name in request:
                columns[name] = text_rows(request, name)
        columns |= _histories(request)
        ids = _trace_ids(request, size, trace)
        names = list(columns)
        values = zip(*columns.values(), strict=True) if columns else [()] * size
        return [
            Query(k=k, rules=rule, trace_id=name, trace=trace, **dict(zip(names, row, strict=True)))
            for k, rule, name, row in zip(ks[:, 0].tolist(), rules, ids, values, strict=True)
        ]

    def _rules(self, request: Arrays, size: int) -> list[RuleSet]:
        given = request.get("rules")
        if given is None or not given.size:
            return [self.rules.default] * size
        if given.shape not in ((size, 1), (1, 1)):
            raise InvalidInput(
                f"rules: shape {list(given.shape)} is not allowed; send one JSON object per row "
                f"{[size, 1]}, or one for all of them [1, 1]."
            )
        read = [
            self.rules.read(raw if isinstance(raw, bytes) else raw.encode()) for raw in given[:, 0]
        ]
        return read if len(read) == size else read * size


def _histories(request: Arrays) -> dict[str, Sequence[Any]]:
    empty = np.empty((rows_of(request, but={"rules"}), 0), dtype=object)
    given = request.get("history", empty)
    shape = given.shape
    stamps = like(request, "history_timestamp", "history", np.zeros(shape, np.int64))
    liked = like(request, "history_positive", "history", np.ones(shape, bool))
    if not given.size:
        return {}
    histories, flags = [], []
    timed = stamps.any()
    rows = text_rows(request, "history", drop_empty=False)
    for items, row_stamps, row_liked in zip(rows, stamps, liked, strict=True):
        order: Sequence[int] = [place for place, item in enumerate(items) if item]
        if timed:
            order = _chronological(row_stamps, order)
        histories.append([items[place] for place in order])
        flags.append(row_liked[order].tolist() if len(order) else [])
    return {"history": histories, "liked": flags}


def _chronological(stamps: npt.NDArray[np.generic], real: Sequence[int]) -> list[int]:
    """Return the places of the real entries, oldest first; equal times keep their order."""
    times = {place: int(stamps[place]) for place in real}
    if any(time < 0 for time in times.values()) or (
        any(times.values()) and not all(times.values())
    ):
        raise InvalidInput(
            f"history_timestamp: {[*times.values()][:20]} mixes known and unknown times; send "
            f"microseconds since 1970-01-01 for every entry of history, or 0 for all of them."
        )
    return sorted(real, key=lambda place: times[place])


def _trace_ids(request: Arrays, size: int, trace: TraceContext) -> list[str]:
    """Return the names of the questions; one that is not given is the id of the trace.

    Further rows get a number behind it, so that each draws a list of its own.
    """
    drawn = [trace.trace_id, *(f"{trace.trace_id}-{row}" for row in range(1, size))]
    given = request.get("trace_id")
    if given is None or not given.size:
        return drawn
    like(request, "trace_id", "the rows", np.empty((size, 1), dtype=object))
    found = []
    for value, otherwise in zip(given[:, 0], drawn, strict=True):
        name = text(value, "trace_id") or otherwise
        if len(name) > MAX_TRACE_ID or not name.isprintable():
            raise InvalidInput(
                f"trace_id: {name[:MAX_TRACE_ID]!a} is not allowed; allowed are up to "
                f"{MAX_TRACE_ID} printable characters."
            )
        found.append(name)
    return found
