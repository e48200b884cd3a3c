"""What was shown to whom with which probability, for learning from the answers later.

JSON lines in ``impressions-<pid>.jsonl``; a full file becomes
``impressions-<pid>-<number>.jsonl``, and the oldest of the folder are removed. A thread of its own
writes; what it cannot keep up with is dropped and counted, so that a slow disk never slows an
answer. serving/impressions.py reads the files.
"""

import contextlib
import json
import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)

WAITING = 10_000
"""Most lines that wait for the disk."""

WRITE_SECONDS = 0.1
"""Between two writes: waking the thread for each answer would cost more than the answer's line."""


class ImpressionLog:
    """Writes impressions in the background.

    Args:
        folder: Made if absent.
        describe: Turns what was written into the line, in the thread that writes.
        file_bytes: Size at which a new file begins.
        files: Most files of the folder that nobody writes any more, of earlier processes too.
        waiting: Most lines that wait for the disk.

    Raises:
        OSError: The folder cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        describe: Callable[[Any], Mapping[str, Any]],
        *,
        file_bytes: int = 64 * 1024 * 1024,
        files: int = 16,
        waiting: int = WAITING,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / f"impressions-{os.getpid()}.jsonl"
        self._file_bytes = file_bytes
        self._files = files
        self._describe = describe
        self._waiting: deque[Any] = deque()
        self._most = waiting
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._dropped = 0
        self._file = self._path.open("ab")
        self._thread = threading.Thread(target=self._run, name="impressions", daemon=True)
        self._thread.start()

    def write(self, shown: Any) -> None:
        """Queue one answer; never waits."""
        if len(self._waiting) >= self._most:
            self._drop(1)
        else:
            self._waiting.append(shown)

    def take_dropped(self) -> int:
        """Return how many lines were lost since the last call."""
        with self._lock:
            dropped, self._dropped = self._dropped, 0
        return dropped

    def close(self) -> None:
        """Write what waits and end."""
        self._stop.set()
        self._thread.join(timeout=5.0)
        self._file.close()

    def _drop(self, count: int) -> None:
        with self._lock:
            self._dropped += count

    def _run(self) -> None:
        ending = False
        while not ending:
            # Once more after the end was asked for: what came before it is written.
            ending = self._stop.wait(WRITE_SECONDS)
            while self._waiting:
                try:
                    self._append(self._waiting.popleft())
                except Exception as error:  # The thread must live; what is lost is counted.
                    self._drop(1)
                    kind = type(error).__name__
                    logger.error("Impressions cannot be written to %s: %s", self._path, kind)
            with contextlib.suppress(OSError):
                self._file.flush()

    def _append(self, shown: Any) -> None:
        text = json.dumps(self._describe(shown), ensure_ascii=False, separators=(",", ":"))
        self._file.write(text.encode("utf-8", "replace") + b"\n")
        if self._file.tell() >= self._file_bytes:
            self._rotate()

    def _rotate(self) -> None:
        self._file.close()
        own = self._path.parent.glob(f"{self._path.stem}-*.jsonl")
        number = max((int(path.stem.rpartition("-")[2]) for path in own), default=0) + 1
        self._path.replace(self._path.with_stem(f"{self._path.stem}-{number:06d}"))
        self._file = self._path.open("ab")
        closed = [p for p in self._path.parent.glob("impressions-*.jsonl") if not _in_use(p)]
        for old in sorted(closed, key=lambda p: (p.stat().st_mtime, p.name))[: -self._files]:
            old.unlink(missing_ok=True)


def _in_use(path: Path) -> bool:
    """Whether a living process appends to this file: another instance of the model, say."""
    pid = path.stem.removeprefix("impressions-")
    return "-" not in pid and Path("/proc", pid).exists()
