"""W3C trace context (https://www.w3.org/TR/trace-context/): read, continued, passed on."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

HEADER = "traceparent"
STATE = "tracestate"

_TRACE_PARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_STATE_LENGTH = 512
"""Longest tracestate that the specification asks a participant to pass on."""


@dataclass(frozen=True, slots=True)
class TraceContext:
    """Where a request stands in its trace.

    Attributes:
        trace_id: 32 hexadecimal digits, shared by everything done for the caller.
        span_id: 16 hexadecimal digits of this server's part.
        parent_id: Span of the caller; empty: the trace begins here.
        flags: Trace flags, two hexadecimal digits; 01: the caller records the trace.
        state: tracestate of the caller, passed on unread.
    """

    trace_id: str
    span_id: str
    parent_id: str = ""
    flags: str = "00"
    state: str = ""

    @property
    def headers(self) -> dict[str, str]:
        """What a request made on behalf of this one carries."""
        found = {HEADER: f"00-{self.trace_id}-{self.span_id}-{self.flags}"}
        if self.state:
            found[STATE] = self.state
        return found


def continued(parent: str = "", state: str = "") -> TraceContext:
    """Continue the caller's trace, or begin one if the header is absent or malformed.

    A malformed header begins a new trace and is no error: that is what the specification asks.

    Args:
        parent: Header ``traceparent``.
        state: Header ``tracestate``.
    """
    match = _TRACE_PARENT.fullmatch(parent.strip()) if parent else None
    if match is None or not _valid(match):
        return TraceContext(_digits(16), _digits(8))
    kept = state if state.isprintable() and len(state) <= _STATE_LENGTH else ""
    return TraceContext(match[2], _digits(8), match[3], match[4], kept)


def apart(request: Mapping[str, Any]) -> tuple[dict[str, Any], TraceContext]:
    """Return the tensors of a request, and the trace of the headers that stand beside them."""
    tensors = dict(request)
    return tensors, continued(tensors.pop(HEADER, ""), tensors.pop(STATE, ""))


def _valid(match: re.Match[str]) -> bool:
    version, trace_id, parent_id, _, rest = match.groups()
    if version == "ff" or (version == "00" and rest):
        return False
    return bool(trace_id.strip("0")) and bool(parent_id.strip("0"))


def _digits(size: int) -> str:
    while not (found := os.urandom(size).hex()).strip("0"):
        pass  # All zeros means "no id" in the specification.
    return found
