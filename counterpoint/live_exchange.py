"""How live items travel between the server that keeps them and its readers: JSON over HTTP.

    server = LiveItemsServer("live-items:6567")
    changes = server.changes(after=0)              # what a reader lacks
    server.put(items, vectors, replace=False)      # all or none

One server (serving/live_server) keeps the store of several machines; each of them reads a copy
(live_replica.py). Standard library only: it runs inside Triton, too.
"""

import base64
import http.client
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from counterpoint import live_vectors
from counterpoint.live_items import FaultyItem, LiveItem, StoredItem, Vector
from counterpoint.live_store import UnusableStore

CHANGES, PUT, REMOVE = "/changes", "/put", "/remove"
PREFIX = "http://"

WAIT_SECONDS = 10.0
"""How long a question for changes may wait for one."""

_FAULTY = 422


@dataclass(frozen=True)
class Changes:
    """What was written to a store after a revision.

    Attributes:
        store: Identifies the store; another one knows other revisions.
        revision: The last one that is contained.
        rows: Rows written since, tombstones included, oldest change first.
        vectors: Of these rows, under every encoder.
        more: There are further rows after ``revision``.
        anew: The reader knows revisions that the store does not have (it is another one, or was
            restored from a copy): the rows begin with the first, and what the reader has is void.
    """

    store: str
    revision: int
    rows: Sequence[StoredItem]
    vectors: Sequence[Vector]
    more: bool = False
    anew: bool = False

    def json(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "store": self.store,
            "revision": self.revision,
            "rows": [row_json(row) for row in self.rows],
            "vectors": [vector_json(vector) for vector in self.vectors],
            "more": self.more,
            "anew": self.anew,
        }

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> "Changes":
        """Read what ``json`` returned."""
        return cls(
            store=str(given["store"]),
            revision=int(given["revision"]),
            rows=[row_of(row) for row in given["rows"]],
            vectors=[vector_of(vector) for vector in given["vectors"]],
            more=bool(given["more"]),
            anew=bool(given["anew"]),
        )


class LiveItemsServer:
    """Asks the server that keeps the live items; safe among threads.

    Args:
        address: ``host:port``.
        timeout: Seconds for each answer.
    """

    def __init__(self, address: str, *, timeout: float = 10.0) -> None:
        self.address = address.removeprefix(PREFIX).rstrip("/")
        self._timeout = timeout

    def changes(self, after: int, *, store: str = "", wait: float = 0.0) -> Changes:
        """Return what was written after a revision; all of it if the store is another one.

        Args:
            after: The last revision that is known.
            store: Of which store; empty: of any.
            wait: Seconds to wait for a change if there is none.

        Raises:
            UnusableStore: The server does not answer.
        """
        asked = {"after": after, "store": store, "wait": wait}
        try:
            return Changes.of(self._ask(CHANGES, asked, wait + self._timeout))
        except (LookupError, TypeError, ValueError) as error:
            raise self._unusable(f"it answers something else ({error!r})") from error

    def put(
        self,
        items: Iterable[LiveItem],
        vectors: Sequence[Vector],
        *,
        replace: bool,
        known: Iterable[str],
    ) -> list[tuple[str, StoredItem]]:
        """Add items in one step, as ``LiveStore.put``.

        Args:
            items: Checked items.
            vectors: Of these items.
            replace: Overwrite items that exist.
            known: Those of the items that the model of the caller has.

        Raises:
            FaultyItem: An item exists already.
            UnusableStore: The server does not answer, or cannot write.
        """
        rows = [item_json(item) for item in items]
        answer = self._ask(
            PUT,
            {
                "items": rows,
                "vectors": [vector_json(vector) for vector in vectors],
                "replace": replace,
                "known": sorted(known),
            },
            self._timeout,
        )
        return [(what, row_of(row)) for what, row in answer["done"]]

    def remove(self, item_ids: Iterable[str]) -> list[StoredItem]:
        """Leave a tombstone for each item.

        Raises:
            UnusableStore: The server does not answer, or cannot write.
        """
        answer = self._ask(REMOVE, {"item_ids": list(item_ids)}, self._timeout)
        return [row_of(row) for row in answer["rows"]]

    def _ask(self, path: str, body: Mapping[str, Any], timeout: float) -> dict[str, Any]:
        connection = http.client.HTTPConnection(self.address, timeout=timeout)
        try:
            connection.request(
                "POST", path, json.dumps(body).encode(), {"Content-Type": "application/json"}
            )
            response = connection.getresponse()
            answer: dict[str, Any] = json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise self._unusable(str(error) or type(error).__name__) from error
        finally:
            connection.close()
        if response.status == _FAULTY:
            raise FaultyItem(str(answer.get("error")))
        if response.status != http.client.OK:
            raise self._unusable(f"it answers {response.status}: {answer.get('error')}")
        return answer

    def _unusable(self, why: str) -> UnusableStore:
        return UnusableStore(
            f"The server of live items at {self.address} cannot be used: {why}. Start it with "
            f"`counterpoint live-items-server`, or name another with deploy.live_items_server. If "
            f"a change was on its way, look whether it was made before you repeat it."
        )


def item_json(item: LiveItem) -> dict[str, Any]:
    """Return an item as it is stored: times in microseconds, vectors in base64."""
    return {
        "item_id": item.item_id,
        "title": item.title,
        "text": item.text,
        "attributes": list(item.attributes),
        "available_from": item.available_from,
        "available_until": item.available_until,
        "vectors": live_vectors.to_text(item.vectors),
    }


def item_of(given: Mapping[str, Any]) -> LiveItem:
    """Read what ``item_json`` returned."""
    fields = {name: given[name] for name in LiveItem.__dataclass_fields__}
    fields["attributes"] = tuple(fields["attributes"])
    fields["vectors"] = live_vectors.from_text(fields["vectors"])
    return LiveItem(**fields)


def row_json(row: StoredItem) -> dict[str, Any]:
    """Return a row of a store."""
    times = {"added_at": row.added_at, "removed_at": row.removed_at, "revision": row.revision}
    return item_json(row.item) | times


def row_of(given: Mapping[str, Any]) -> StoredItem:
    """Read what ``row_json`` returned."""
    return StoredItem(item_of(given), given["added_at"], given["removed_at"], given["revision"])


def vector_json(vector: Vector) -> dict[str, str]:
    """Return the text vector of an item."""
    return {
        "encoder_sha256": vector.encoder_sha256,
        "item_id": vector.item_id,
        "text_sha256": vector.text_sha256,
        "content": base64.b64encode(vector.content).decode(),
    }


def vector_of(given: Mapping[str, str]) -> Vector:
    """Read what ``vector_json`` returned."""
    return Vector(
        given["encoder_sha256"],
        given["item_id"],
        given["text_sha256"],
        base64.b64decode(given["content"], validate=True),
    )
