"""What the store of live items means for one loaded version.

    live = LiveItems(store, contract, index, encoder)   # background thread: encodes what is missing
    view = live.refresh()                                # every request: microseconds if unchanged
    catalogue = exported.extended(view)                  # serving/engine/catalogue.py

An item that the version does not know is scored from its features and the row's ``taste``. One that
it knows is only overridden or hidden: nothing is ever shown twice. A vector that is missing under
this version's encoder is computed in a background thread; the item appears when it is there.
Runs inside Triton: standard library and numpy.
"""

import hashlib
import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from counterpoint.item_text import item_text
from counterpoint.live_items import LiveItem, StoredItem, Vector
from counterpoint.live_store import LiveStore, UnusableStore
from serving.engine import text_encoder
from serving.engine.live_features import LiveFeatures
from serving.engine.live_view import LiveRow, LiveView, Override, build
from serving.engine.text_encoder import TextEncoder

logger = logging.getLogger(__name__)

ENCODED_AT_ONCE = 256
"""Missing vectors that are computed before they are kept: a killed process loses no more."""

Key = tuple[str, str]
"""Item id and hash of its text."""


def follow(
    folder: Path, options: Mapping[str, str]
) -> Callable[[Mapping[str, Any], Mapping[str, int]], Callable[[], LiveView]] | None:
    """Return what opens the live items for a version, given its contract and index.

    Args:
        folder: Files of the version.
        options: ``live_items``, the file of the store; none: the catalogue never changes.
    """
    path = options.get("live_items", "")
    if not path:
        return None

    def start(contract: Mapping[str, Any], index: Mapping[str, int]) -> Callable[[], LiveView]:
        return LiveItems(Path(path), contract, index, text_encoder.find(folder)).refresh

    return start


class LiveItems:
    """The store seen through one version. ``refresh`` is called by one thread at a time.

    Args:
        path: File of the store; created if absent.
        contract: contract.json of the version, format 3.
        index: Item id -> one-based index of the items in the graph.
        encoder: Item encoder of the version; none: trained without text.

    Raises:
        UnusableStore: The file cannot be used.
    """

    def __init__(
        self,
        path: Path,
        contract: Mapping[str, Any],
        index: Mapping[str, int],
        encoder: TextEncoder | None,
    ) -> None:
        self._path = path
        self._spec = contract["item_attributes"]
        self._features = LiveFeatures(contract)
        self._index = index
        self._encoder = encoder if self._features.text_width else None
        self._lock = threading.Lock()
        self._wanted: dict[Key, str] = {}
        self._asked: set[Key] = set()
        self._computed: dict[Key, bytes] = {}
        self._fresh = threading.Event()
        self._worker: threading.Thread | None = None
        self._failing = False
        self._number = -1
        self._store: LiveStore | None = self._open()
        self._look()
        self.wait()
        self._look()

    def refresh(self) -> LiveView:
        """Return the present view; reads only what changed since the last call.

        A store that cannot be read just now leaves the last view in place, with a warning: requests
        are answered all the same.
        """
        try:
            self._look()
            self._failing = False
        except UnusableStore as error:
            if not self._failing:
                logger.warning("Live items stay as they were: %s", error)
            self._failing = True
        return self._view

    def _look(self) -> None:
        if self._store is None:
            self._store = self._open()
        number, gone = self._store.changed()
        if gone:
            logger.warning("The store of live items %s was replaced: reading anew", self._path)
            self._store.close()
            self._store = None
            self._store = self._open()
        elif number == self._number and not self._fresh.is_set():
            return
        self._fresh.clear()
        self._read(self._store)
        # Set last and read first: a change in between is noticed by the next call.
        self._number = -1 if gone else number

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until what was missing is encoded; return whether it is."""
        with self._lock:
            worker = self._worker
        if worker is not None:
            worker.join(timeout)
        return worker is None or not worker.is_alive()

    def close(self) -> None:
        """Stop encoding and close the file."""
        with self._lock:
            self._wanted.clear()
        self.wait()
        if self._store is not None:
            self._store.close()
            self._store = None

    def _open(self) -> LiveStore:
        store = LiveStore(self._path)
        self._number = -1
        self._revision = 0
        self._rows: dict[str, LiveRow] = {}
        self._pending: dict[str, StoredItem] = {}
        self._hidden: set[int] = set()
        self._overrides: dict[int, Override] = {}
        self._view: LiveView = self._build()
        return store

    def _build(self) -> LiveView:
        return build(
            self._rows,
            self._hidden,
            self._overrides,
            width=self._features.width,
        )

    def _read(self, store: LiveStore) -> None:
        with store.reading():
            read = store.since(self._revision)
            rows = self._pending | {row.item.item_id: row for row in read}
            new = [item for item in rows if item not in self._index]
            vectors = store.vectors(self._encoder.sha256, new) if self._encoder else {}
        self._pending = {}
        missing: dict[Key, str] = {}
        for name, row in rows.items():
            place = self._index.get(name)
            self._forget(name, place)
            if row.removed_at is not None:
                if place is not None:
                    self._hidden.add(place)
                continue
            tokens = self._tokens(row.item)
            if place is not None:
                self._overrides[place] = Override.of(row.item, tokens)
                continue
            text = item_text(row.item.title, tokens, row.item.text) if self._encoder else ""
            key = (name, hashlib.sha256(text.encode()).hexdigest())
            vector = vectors.get(key) or self._computed.get(key)
            if text and vector is None:
                self._pending[name] = row
                missing[key] = text
            else:
                self._rows[name] = LiveRow(row, tokens, self._features.of(row.item, tokens, vector))
        self._revision = max([self._revision, *(row.revision for row in read)])
        self._view = self._build()
        self._encode_later(missing)

    def _forget(self, item: str, place: int | None) -> None:
        self._rows.pop(item, None)
        if place is not None:
            self._hidden.discard(place)
            self._overrides.pop(place, None)

    def _tokens(self, item: LiveItem) -> list[str]:
        try:
            return item.tokens(self._spec)
        except ValueError as error:
            # It was checked against another version's specification.
            logger.warning("Attributes of live item %r are left out: %s", item.item_id, error)
            return []

    def _encode_later(self, missing: Mapping[Key, str]) -> None:
        with self._lock:
            self._wanted |= {key: text for key, text in missing.items() if key not in self._asked}
            self._asked |= set(missing)
            if self._wanted and self._worker is None:
                self._worker = threading.Thread(target=self._encode, daemon=True)
                self._worker.start()

    def _encode(self) -> None:
        """Encode all that is wanted; the store shares the vectors with other processes."""
        encoder = self._encoder
        assert encoder is not None
        try:
            while wanted := self._take():
                vectors = encoder.encode(list(wanted.values())).astype("<f4")
                found = {key: v.tobytes() for key, v in zip(wanted, vectors, strict=True)}
                # Kept here as well until the version goes, for the store may be read-only.
                self._computed |= found
                self._fresh.set()
                self._share(encoder.sha256, found)
        except Exception:  # The items stay out; the version goes on answering.
            logger.exception("Live items of %s could not be encoded", self._path)
        finally:
            encoder.release()
            with self._lock:
                self._worker = None

    def _take(self) -> dict[Key, str]:
        with self._lock:
            keys = list(self._wanted)[:ENCODED_AT_ONCE]
            return {key: self._wanted.pop(key) for key in keys}

    def _share(self, sha256: str, found: Mapping[Key, bytes]) -> None:
        vectors = [Vector(sha256, item, text, v) for (item, text), v in found.items()]
        try:
            store = LiveStore(self._path)
            try:
                store.put_vectors(vectors)
            finally:
                store.close()
        except UnusableStore as error:
            logger.warning("Vectors of live items are kept in memory only: %s", error)
