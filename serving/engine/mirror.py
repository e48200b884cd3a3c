"""Keeps this machine's copy of the live items that a server keeps for several machines.

    store = MirroredStore(path, "live-items:6567")   # as a LiveStore; begins to follow
    store.put(items, vectors, ...)                   # on the server, and here when it returns

The models read the copy as they read a store of their own, also while the server is away. Runs
inside Triton: standard library only.
"""

import contextlib
import fcntl
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from counterpoint.live_exchange import WAIT_SECONDS, LiveItemsServer
from counterpoint.live_items import LiveItem, StoredItem, Vector
from counterpoint.live_replica import Replica
from counterpoint.live_store import UnusableStore

logger = logging.getLogger(__name__)

PAUSES = (0.2, 0.5, 1.0, 2.0, 5.0)
"""Seconds between attempts while the server is away."""

START_SECONDS = 20.0
"""How long the first copy may take before the model answers without it."""

Found = TypeVar("Found")

_following: dict[tuple[Path, str], "Mirror"] = {}
_lock = threading.Lock()


class Mirror:
    """A thread that keeps a copy up to date.

    Args:
        path: File of the copy.
        server: The server.
    """

    def __init__(self, path: Path, server: LiveItemsServer) -> None:
        self._path = path
        self._server = server
        self._away = False
        self._first = threading.Event()
        self._ended = threading.Event()
        name = f"live items of {server.address}"
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def end(self) -> None:
        """Stop following, at the latest when the present question is answered."""
        self._ended.set()

    def wait(self, seconds: float) -> bool:
        """Wait for the first complete copy; return whether there is one."""
        return self._first.wait(seconds)

    def _run(self) -> None:
        failures = 0
        while not self._ended.is_set():
            try:
                pull(self._path, self._server, wait=WAIT_SECONDS if self._first.is_set() else 0.0)
                if self._away:
                    logger.warning("The server of live items answers again")
                failures, self._away = 0, False
                self._first.set()
            except UnusableStore as error:
                if not self._away:
                    logger.warning("Live items stay as they are here: %s", error)
                self._away = True
                self._ended.wait(PAUSES[min(failures, len(PAUSES) - 1)])
                failures += 1
            except Exception:  # The thread must go on; what was copied before stays.
                logger.exception("Live items could not be copied")
                self._ended.wait(PAUSES[-1])


def follow(path: Path, address: str) -> Mirror:
    """Return the thread that keeps a copy up to date; one for each file and server."""
    key = (path, address)
    with _lock:
        if key not in _following:
            _following[key] = Mirror(path, LiveItemsServer(address))
        return _following[key]


def pull(path: Path, server: LiveItemsServer, *, wait: float = 0.0) -> None:
    """Bring a copy up to date.

    Args:
        path: File of the copy; made where absent.
        server: The server.
        wait: Seconds to wait for a change if there is none.

    Raises:
        UnusableStore: The server does not answer, or the file cannot be written.
    """
    more = True
    while more:
        with _opened(path) as replica:
            name, seen = replica.known()
        changes = server.changes(seen, store=name, wait=wait)
        with _opened(path) as replica:
            if replica.apply(changes):
                more, wait = changes.more, 0.0
            else:
                logger.warning("The server of live items keeps another store now: copied anew")
                replica.forget()


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Replica]:
    """Open a copy that no other process or thread begins anew meanwhile."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = open(f"{path}.lock", "ab")
    except OSError as error:
        raise UnusableStore(f"The copy of live items {path} cannot be used: {error}.") from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        replica = Replica(path)
        try:
            yield replica
        finally:
            replica.close()


class MirroredStore:
    """A ``LiveStore`` whose changes are made on a server.

    What it reads is up to date; while the server is away it is what was copied last.

    Args:
        path: File of the copy.
        address: ``host:port`` of the server.
        start: Seconds to wait for the first copy.

    Raises:
        UnusableStore: The file cannot be a copy.
    """

    def __init__(self, path: Path, address: str, *, start: float = START_SECONDS) -> None:
        self.path = path
        self._server = LiveItemsServer(address)
        with _opened(path):
            pass  # A file that cannot be a copy is told before anything is written.
        if not follow(path, address).wait(start):
            logger.warning("No live items yet: the server %s has not answered", address)

    def get(self, item_id: str) -> StoredItem | None:
        """Return one row, tombstones included."""
        return self._read(lambda replica: replica.get(item_id))

    def since(self, revision: int = 0) -> list[StoredItem]:
        """Return the rows written after a revision, oldest addition first."""
        return self._read(lambda replica: replica.since(revision))

    def put(
        self,
        items: Iterable[LiveItem],
        vectors: Sequence[Vector] = (),
        *,
        replace: bool = False,
        known: Callable[[str], bool] = lambda item: False,
    ) -> list[tuple[str, StoredItem]]:
        """Add items in one step, as ``LiveStore.put``."""
        items = list(items)
        names = [item.item_id for item in items if known(item.item_id)]
        done = self._server.put(items, vectors, replace=replace, known=names)
        # This machine's next answer counts what was written.
        self._pull()
        return done

    def remove(self, item_ids: Iterable[str]) -> list[StoredItem]:
        """Leave a tombstone for each item."""
        gone = self._server.remove(item_ids)
        self._pull()
        return gone

    def _read(self, read: Callable[[Replica], Found]) -> Found:
        self._pull()
        with _opened(self.path) as replica:
            return read(replica)

    def _pull(self) -> None:
        try:
            pull(self.path, self._server)
        except UnusableStore as error:
            # The thread copies the rest when the server answers again.
            logger.warning("The copy of the live items may be behind: %s", error)
