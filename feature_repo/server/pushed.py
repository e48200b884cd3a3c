"""Events pushed to a local store, kept until the feature tables hold them.

A data version begins with its own tables, which end where the ingest ended. What was pushed since
then would be forgotten with the old version, so it is merged into the new one as well. (A remote
online store is one and the same for all data versions and forgets nothing.)
"""

import json
import os
from pathlib import Path
from typing import Any, Final

import polars as pl
from filelock import FileLock

from counterpoint import columns
from feature_repo.push import EVENT, changed_users
from feature_repo.store import FeatureRepository

FILE: Final = "pushed.jsonl"
"""Beside the data versions: the data version it was last merged into, then one event a line."""


class Pushed:
    """The file of pushed events.

    Args:
        state: ``features.state``.
    """

    def __init__(self, state: Path) -> None:
        self._path = state.resolve() / FILE
        self._lock = FileLock(state.resolve() / f".{FILE}.lock")

    def append(self, events: pl.DataFrame, version: str) -> None:
        """Add events before they are merged into a data version."""
        with self._lock:
            lines = _lines(events)
            if not self._path.is_file():
                lines = f"{json.dumps({'version': version})}\n{lines}"
            with self._path.open("a", encoding="utf-8") as file:
                file.write(lines)

    def replay(self, repository: FeatureRepository) -> int:
        """Merge all into a data version and return the number of users whose history changed.

        Events that a version new to this file holds already are dropped from it.
        """
        with self._lock:
            if not self._path.is_file():
                return 0
            version, events = self._read()
            changed = changed_users(repository, events)
            if version != repository.folder.name:
                kept = events.filter(pl.col(columns.USER).is_in(changed))
                self._replace(kept, repository.folder.name)
            return len(changed)

    def _read(self) -> tuple[str, pl.DataFrame]:
        heads: list[dict[str, Any]] = []
        rows: list[list[Any]] = []
        for line in self._path.read_text("utf-8").splitlines():
            try:
                found = json.loads(line)
            except ValueError:  # the last line of a killed server
                continue
            heads.append(found) if isinstance(found, dict) else rows.append(found)
        schema = dict(EVENT) | {columns.TIMESTAMP: pl.Int64()}
        frame = pl.DataFrame(rows, schema=schema, orient="row").with_columns(
            pl.col(columns.TIMESTAMP).cast(columns.INSTANT)
        )
        return (heads[0]["version"] if heads else ""), frame

    def _replace(self, events: pl.DataFrame, version: str) -> None:
        partial = self._path.with_name(f".{FILE}")
        partial.write_text(f"{json.dumps({'version': version})}\n{_lines(events)}", "utf-8")
        os.replace(partial, self._path)


def _lines(events: pl.DataFrame) -> str:
    stamps = pl.col(columns.TIMESTAMP).dt.epoch("us")
    rows = events.select(EVENT.names()).with_columns(stamps).iter_rows()
    return "".join(f"{json.dumps(row)}\n" for row in rows)
