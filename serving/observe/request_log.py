"""One JSON line a request on standard error, which Triton's log takes up."""

import json
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import IO, Any, Literal

Level = Literal["off", "errors", "all"]


class RequestLog:
    """Writes log lines.

    Args:
        level: ``off``, ``errors`` (degraded, refused, failed) or ``all``.
        stream: Where to; default standard error.
    """

    def __init__(self, level: Level, stream: IO[str] | None = None) -> None:
        self.all = level == "all"
        self.errors = level != "off"
        self._stream = stream

    def write(self, level: str, event: str, fields: Mapping[str, Any]) -> None:
        """Write one line; empty fields are left out."""
        line = {"when": now(), "level": level, "event": event, **fields}
        kept = {key: value for key, value in line.items() if value not in ("", None)}
        text = json.dumps(kept, ensure_ascii=False, separators=(",", ":"))
        # One write a line, so that lines of several processes do not run into each other.
        stream = self._stream or sys.stderr
        stream.write(text + "\n")
        stream.flush()


def now() -> str:
    """Return the time in UTC, ISO 8601 with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
