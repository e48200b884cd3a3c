"""The log of every decision, and the lock that lets one run decide at a time."""

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from counterpoint.errors import SetupError

logger = logging.getLogger(__name__)

AUDIT = "audit.jsonl"
LOCK = "monitor.lock"


@contextmanager
def one_at_a_time(state: Path) -> Iterator[None]:
    """Keep other monitoring runs out while this one decides.

    Raises:
        SetupError: Another run holds the lock.
    """
    state.mkdir(parents=True, exist_ok=True)
    lock = FileLock(state / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise SetupError(
            f"Another monitoring run is deciding ({state / LOCK} is locked). One runs at a time, "
            "so that one drift starts one retraining. Wait until it ends, or give this run a "
            "monitor.state of its own."
        ) from None
    try:
        yield
    finally:
        lock.release()


def read(state: Path) -> list[dict[str, Any]]:
    """Return the records of the audit log, oldest first; a line cut by a crash is left out."""
    path = state / AUDIT
    if not path.is_file():
        return []
    records = []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            logger.warning("Line %d of %s is not a whole record and is left out.", number, path)
            continue
        records.append(record)
    return records


def append(state: Path, record: dict[str, Any]) -> None:
    """Append one record with a single write, so that it is in the log whole or not at all."""
    state.mkdir(parents=True, exist_ok=True)
    path = state / AUDIT
    # A line that a crash cut short must not swallow this record.
    line = ("\n" if _torn(path) else "") + json.dumps(record, sort_keys=True) + "\n"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(descriptor, line.encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _torn(path: Path) -> bool:
    """Whether the file ends within a line."""
    if not path.is_file() or path.stat().st_size == 0:
        return False
    with path.open("rb") as stream:
        stream.seek(-1, os.SEEK_END)
        return stream.read(1) != b"\n"
