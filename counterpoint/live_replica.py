"""A store of live items that several machines share, and the copies that they read.

The shared one is an ordinary store (live_store.py) with a name. A copy gives every change a
revision of its own, so that the programs beside it read it as if it had been written there.
"""

import json
import uuid
from collections.abc import Sequence
from pathlib import Path

from counterpoint.live_exchange import Changes
from counterpoint.live_items import Vector
from counterpoint.live_store import LiveStore, UnusableStore, rows_of

PAGE = 1_000
"""Rows of one answer."""

_NAME, _ORIGIN, _SEEN = "name", "origin", "seen"


class _Noted(LiveStore):
    """A store with notes of its own beside the items."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        with self._writing():
            self._connection.execute(
                "CREATE TABLE IF NOT EXISTS notes (key TEXT PRIMARY KEY, value TEXT NOT NULL) "
                "WITHOUT ROWID"
            )

    def _note(self, key: str) -> str | None:
        row = self._connection.execute("SELECT value FROM notes WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def _write_note(self, key: str, value: str) -> None:
        self._connection.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (key, value))


class SharedStore(_Noted):
    """The store that others copy.

    Args:
        path: The file; created with its folder where absent.

    Attributes:
        name: Drawn when the file was made; a file that replaces it has another.

    Raises:
        UnusableStore: The file or its folder cannot be used, or is no store.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        if self._note(_ORIGIN):
            self.close()
            raise UnusableStore(
                f"{path} is a copy of the live items that another server keeps. Name another file."
            )
        with self._writing():
            name = self._note(_NAME) or uuid.uuid4().hex
            self._write_note(_NAME, name)
        self.name = name

    def changes(self, after: int, *, store: str = "", most: int = PAGE) -> Changes:
        """Return what was written after a revision, at most so many rows.

        Args:
            after: The last revision that the reader knows.
            store: Name of the store it knows it from; of another one revisions mean nothing.
            most: Bound of the rows.
        """
        with self.reading():
            last = self._connection.execute("SELECT coalesce(max(revision), 0) FROM items")
            anew = (bool(store) and store != self.name) or after > int(last.fetchone()[0])
            after = 0 if anew else after
            found = rows_of(
                self._connection.execute(
                    "SELECT * FROM items WHERE revision > ? ORDER BY revision LIMIT ?",
                    (after, most + 1),
                )
            )
            rows = found[:most]
            vectors = self._vectors([row.item.item_id for row in rows])
        end = rows[-1].revision if rows else after
        return Changes(self.name, end, rows, vectors, more=len(found) > most, anew=anew)

    def _vectors(self, items: Sequence[str]) -> list[Vector]:
        rows = self._connection.execute(
            "SELECT encoder_sha256, item_id, text_sha256, vector FROM vectors "
            "WHERE item_id IN (SELECT value FROM json_each(?))",
            (json.dumps(items),),
        )
        return [Vector(*row) for row in rows]


class Replica(_Noted):
    """A copy of a shared store on this machine.

    Args:
        path: The file; created with its folder where absent.

    Raises:
        UnusableStore: The file or its folder cannot be used, is no store, or holds items that are
            of no other store.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        if not self._note(_ORIGIN) and (self._note(_NAME) or self.since()):
            self.close()
            raise UnusableStore(
                f"{path} holds live items of its own and cannot become a copy. Keep them for all "
                f"machines with `counterpoint live-items-server --file`, or move the file away, "
                f"and name another one in deploy.live_items."
            )

    def known(self) -> tuple[str, int]:
        """Return of which store this is a copy (empty: of none yet), and up to which revision."""
        with self.reading():
            return self._note(_ORIGIN) or "", int(self._note(_SEEN) or 0)

    def apply(self, changes: Changes) -> bool:
        """Write what a shared store answered; what is known already changes nothing.

        Returns:
            False if what is here is void: ``forget`` it first.
        """
        with self._writing():
            origin, seen = self._note(_ORIGIN) or changes.store, int(self._note(_SEEN) or 0)
            if origin != changes.store or (changes.anew and seen):
                return False
            new = [row for row in changes.rows if row.revision > seen]
            for row in new:
                self._put_row(row.item, added_at=row.added_at, removed_at=row.removed_at)
            names = {row.item.item_id for row in new}
            self._write_vectors([v for v in changes.vectors if v.item_id in names])
            self._write_note(_ORIGIN, origin)
            self._write_note(_SEEN, str(max(seen, changes.revision)))
        return True

    def forget(self) -> None:
        """Remove the file; those who read it notice, and the next ``Replica`` begins anew."""
        self.close()
        # The file last: SQLite drops a log that stands beside an empty file, not one that is beside
        # another file than its own.
        for ending in ("-wal", "-shm", ""):
            Path(f"{self.path}{ending}").unlink(missing_ok=True)
