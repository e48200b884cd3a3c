"""The online store's content frozen into a version: each user's newest events and attributes.

An SQLite file: looked up by key in microseconds, read-only, no memory per user, and readable where
neither polars nor pydantic exist (Triton's Python environment). Standard library and numpy only.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

_SCHEMA = """
CREATE TABLE users (
    user_id TEXT PRIMARY KEY, items BLOB NOT NULL, positive BLOB NOT NULL, attributes TEXT NOT NULL
) WITHOUT ROWID
"""
_ITEM = np.dtype("<i4")


@dataclass(frozen=True)
class StoredUser:
    """What is known of one user.

    Attributes:
        user_id: The user.
        items: One-based catalogue indices, oldest first.
        positive: Whether each event counts as liked.
        attributes: ``name=value`` tokens.
    """

    user_id: str
    items: Sequence[int]
    positive: Sequence[bool]
    attributes: Sequence[str]


def write(path: Path, users: Iterable[StoredUser]) -> int:
    """Write a snapshot and return its number of users. An existing file is replaced."""
    path.unlink(missing_ok=True)
    rows = (
        (
            user.user_id,
            np.asarray(user.items, dtype=_ITEM).tobytes(),
            np.asarray(user.positive, dtype=bool).tobytes(),
            json.dumps(list(user.attributes), ensure_ascii=False),
        )
        for user in users
    )
    connection = sqlite3.connect(path)
    try:
        with connection:
            connection.execute(_SCHEMA)
            connection.executemany("INSERT INTO users VALUES (?, ?, ?, ?)", rows)
        return int(connection.execute("SELECT count(*) FROM users").fetchone()[0])
    finally:
        connection.close()


class UserSnapshot:
    """Reads a snapshot. One connection; not for use from several threads at once."""

    def __init__(self, path: Path) -> None:
        # `immutable` lets a read-only mount serve the file: SQLite then needs no lock files.
        uri = f"{path.resolve().as_uri()}?immutable=1"
        self._connection = sqlite3.connect(uri, uri=True, check_same_thread=False)

    def get(self, user_id: str) -> StoredUser | None:
        """Return a user, or nothing when the snapshot does not know the id."""
        cursor = self._connection.execute("SELECT * FROM users WHERE user_id = ?", (user_id,))
        row = cursor.fetchone()
        return None if row is None else _user(row)

    def __iter__(self) -> Iterator[StoredUser]:
        return map(_user, self._connection.execute("SELECT * FROM users ORDER BY user_id"))

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


def _user(row: tuple[str, bytes, bytes, str]) -> StoredUser:
    return StoredUser(
        row[0],
        np.frombuffer(row[1], dtype=_ITEM).tolist(),
        np.frombuffer(row[2], dtype=bool).tolist(),
        json.loads(row[3]),
    )
