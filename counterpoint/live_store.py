"""The file of live items: what was added, changed or removed since the model was trained.

One SQLite file in WAL mode: writers of several processes wait for each other, readers never wait,
and a killed writer leaves nothing half-written. Each change gets the next revision, so a reader
fetches only what is newer than what it has. Standard library only.
"""

import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from counterpoint import live_vectors
from counterpoint.errors import DataError
from counterpoint.live_items import FaultyItem, LiveItem, StoredItem, Vector

WAIT_SECONDS = 30.0
"""How long a writer waits for the others."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS items (
    item_id TEXT PRIMARY KEY, title TEXT, text TEXT, attributes TEXT NOT NULL,
    available_from INTEGER, available_until INTEGER,
    added_at INTEGER NOT NULL, removed_at INTEGER, revision INTEGER NOT NULL, vectors TEXT
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_revision ON items (revision);
CREATE TABLE IF NOT EXISTS vectors (
    encoder_sha256 TEXT NOT NULL, item_id TEXT NOT NULL, text_sha256 TEXT NOT NULL,
    vector BLOB NOT NULL, PRIMARY KEY (item_id, encoder_sha256, text_sha256)
) WITHOUT ROWID;
"""
_FORMAT = 1
"""Stores without the column ``vectors`` have it too: programs before that column go on reading and
writing stores that have it."""

_COLUMNS = (
    "item_id, title, text, attributes, available_from, available_until, added_at, removed_at, "
    "revision, vectors"
)


class UnusableStore(DataError):
    """The file cannot be read or written; the message names it."""


class LiveStore:
    """Reads and writes the file; safe among threads only when each has its own.

    Args:
        path: The file; created with its folder where absent.
        create: Refuse a missing file instead when false.

    Raises:
        UnusableStore: The file or its folder cannot be used, or is no store.
    """

    def __init__(self, path: Path, *, create: bool = True) -> None:
        self.path = path
        if not create and not path.is_file():
            raise UnusableStore(f"{path} does not exist: no live item was ever added there.")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(
                path, timeout=WAIT_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._prepare()
            self._file = _identity(path)
        except (sqlite3.Error, OSError) as error:
            raise self._unusable(error) from error

    def _prepare(self) -> None:
        found = int(self._connection.execute("PRAGMA user_version").fetchone()[0])
        if found not in (0, _FORMAT):
            raise sqlite3.DatabaseError(f"it has format {found}, this program knows {_FORMAT}")
        if not found:
            self._connection.execute("PRAGMA journal_mode = WAL")
            with self._writing():
                for statement in _SCHEMA.strip().rstrip(";").split(";"):
                    self._connection.execute(statement)
                self._connection.execute(f"PRAGMA user_version = {_FORMAT}")
        # An acknowledged item outlives a power cut as well.
        self._connection.execute("PRAGMA synchronous = FULL")

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def changed(self) -> tuple[int, bool]:
        """Return a number that differs after each change by others, and whether the file is gone.

        Costs microseconds. Gone means removed or replaced by another: open the store anew.
        """
        try:
            number = int(self._connection.execute("PRAGMA data_version").fetchone()[0])
        except sqlite3.Error as error:
            raise self._unusable(error) from error
        return number, _identity(self.path) != self._file

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Let the reads of the block see one state of the file."""
        try:
            self._connection.execute("BEGIN")
            yield
        except sqlite3.Error as error:
            raise self._unusable(error) from error
        finally:
            if self._connection.in_transaction:
                self._connection.execute("COMMIT")

    def since(self, revision: int = 0) -> list[StoredItem]:
        """Return the rows written after a revision, oldest addition first."""
        rows = self._connection.execute(
            "SELECT * FROM items WHERE revision > ? ORDER BY added_at, item_id", (revision,)
        )
        return rows_of(rows)

    def get(self, item_id: str) -> StoredItem | None:
        """Return one row, tombstones included."""
        rows = self._connection.execute("SELECT * FROM items WHERE item_id = ?", (item_id,))
        return next(iter(rows_of(rows)), None)

    def vectors(self, encoder_sha256: str, item_ids: Sequence[str]) -> dict[tuple[str, str], bytes]:
        """Return (item id, text hash) -> vector of the items under an encoder."""
        found = {}
        for item in item_ids:
            rows = self._connection.execute(
                "SELECT text_sha256, vector FROM vectors WHERE item_id = ? AND encoder_sha256 = ?",
                (item, encoder_sha256),
            )
            found.update({(item, text): content for text, content in rows})
        return found

    def put(
        self,
        items: Iterable[LiveItem],
        vectors: Sequence[Vector] = (),
        *,
        replace: bool = False,
        known: Callable[[str], bool] = lambda item: False,
    ) -> list[tuple[str, StoredItem]]:
        """Add items in one step: all or none.

        Args:
            items: Checked items.
            vectors: Of these items.
            replace: Overwrite items that exist.
            known: Whether the served model has an item, which then exists as well.

        Returns:
            (``added``, ``changed`` or ``restored``; the row) of each.

        Raises:
            FaultyItem: An item exists already.
            UnusableStore: The file cannot be written.
        """
        done = []
        with self._writing():
            for item in items:
                before = self.get(item.item_id)
                exists = known(item.item_id) if before is None else before.removed_at is None
                if exists and not replace:
                    raise FaultyItem(
                        f"item_id: {item.item_id!r} is in the catalogue already. Replace it "
                        f"(action `replace`, `counterpoint add-item --replace`), or choose another."
                    )
                what = "changed" if exists else "added" if before is None else "restored"
                self._write(item, before)
                row = self.get(item.item_id)
                assert row is not None
                done.append((what, row))
            self._write_vectors(vectors)
        return done

    def remove(self, item_ids: Iterable[str]) -> list[StoredItem]:
        """Leave a tombstone for each item; whether a model knows it is the caller's to check."""
        gone = []
        now = _now()
        with self._writing():
            for item in item_ids:
                if self.get(item) is None:
                    self._write(LiveItem(item), None)
                self._connection.execute(
                    "UPDATE items SET removed_at = ?, revision = ? WHERE item_id = ?",
                    (now, self._next_revision(), item),
                )
                row = self.get(item)
                assert row is not None
                gone.append(row)
        return gone

    def put_vectors(self, vectors: Sequence[Vector]) -> None:
        """Add vectors of items; other readers then look at these items again."""
        with self._writing():
            self._write_vectors(vectors)
            for item in dict.fromkeys(vector.item_id for vector in vectors):
                self._connection.execute(
                    "UPDATE items SET revision = ? WHERE item_id = ?",
                    (self._next_revision(), item),
                )

    def _write(self, item: LiveItem, before: StoredItem | None) -> None:
        # A changed item keeps its place among the others; a restored one is new again.
        stays = before is not None and before.removed_at is None
        self._put_row(item, added_at=before.added_at if before is not None and stays else _now())

    def _put_row(self, item: LiveItem, *, added_at: int, removed_at: int | None = None) -> None:
        self._connection.execute("DELETE FROM vectors WHERE item_id = ?", (item.item_id,))
        self._connection.execute(
            f"INSERT OR REPLACE INTO items ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                item.item_id,
                item.title,
                item.text,
                json.dumps(item.attributes, ensure_ascii=False),
                item.available_from,
                item.available_until,
                added_at,
                removed_at,
                self._next_revision(),
                live_vectors.to_text(item.vectors),
            ),
        )

    def _write_vectors(self, vectors: Sequence[Vector]) -> None:
        self._connection.executemany(
            "INSERT OR REPLACE INTO vectors (encoder_sha256, item_id, text_sha256, vector) "
            "SELECT ?1, ?2, ?3, ?4 WHERE EXISTS (SELECT 1 FROM items WHERE item_id = ?2)",
            [(v.encoder_sha256, v.item_id, v.text_sha256, v.content) for v in vectors],
        )

    def _next_revision(self) -> int:
        row = self._connection.execute("SELECT coalesce(max(revision), 0) + 1 FROM items")
        return int(row.fetchone()[0])

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            raise self._unusable(error) from error
        try:
            self._widen()
            yield
            self._connection.execute("COMMIT")
        except BaseException as error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                raise self._unusable(error) from error
            raise

    def _widen(self) -> None:
        """Add what stores of earlier releases lack."""
        found = self._connection.execute("SELECT name FROM pragma_table_info('items')").fetchall()
        if found and ("vectors",) not in found:
            self._connection.execute("ALTER TABLE items ADD COLUMN vectors TEXT")

    def _unusable(self, error: Exception) -> UnusableStore:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
            return UnusableStore(
                f"The disk of the live items {self.path} is full: nothing was changed. Free some "
                f"space, or name another file with deploy.live_items."
            )
        return UnusableStore(
            f"The store of live items {self.path} cannot be used: {error}. Its folder must exist "
            f"and be writable, and the file be one that `counterpoint add-item` made; name another "
            f"with deploy.live_items."
        )


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _now() -> int:
    return time.time_ns() // 1_000


def rows_of(found: sqlite3.Cursor) -> list[StoredItem]:
    """Return the rows of a query for all columns of ``items``."""
    names = [column[0] for column in found.description]
    stored = []
    for row in found:
        values: Mapping[str, Any] = dict(zip(names, row, strict=True))
        fields: dict[str, Any] = {name: values.get(name) for name in LiveItem.__dataclass_fields__}
        fields["attributes"] = tuple(json.loads(values["attributes"]))
        fields["vectors"] = live_vectors.from_text(values.get("vectors"))
        stored.append(
            StoredItem(
                LiveItem(**fields), values["added_at"], values["removed_at"], values["revision"]
            )
        )
    return stored
