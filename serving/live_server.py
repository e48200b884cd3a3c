"""The server that keeps the live items of several machines, such as Triton's pods of a cluster.

=================  =================================================================================
``POST /changes``  what was written after a revision; waits for a change if there is none
``POST /put``      items, all or none
``POST /remove``   tombstones
``GET /health``    200 when the store can be read, else 503
=================  =================================================================================

The bodies are those of counterpoint/live_exchange.py. One process writes the store; what it answers
is on the disk. Who may ask is decided by the network.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final

from counterpoint import asgi
from counterpoint.asgi import Answer, Message, Receive, Send
from counterpoint.live_exchange import (
    CHANGES,
    PUT,
    REMOVE,
    WAIT_SECONDS,
    item_of,
    row_json,
    vector_of,
)
from counterpoint.live_items import FaultyItem, item_id
from counterpoint.live_replica import SharedStore
from counterpoint.live_store import UnusableStore

logger = logging.getLogger(__name__)

PORT: Final = 6567
MOST_BYTES: Final = 64_000_000
LOOK_SECONDS: Final = 0.01
"""How often those who wait look for a change, at a few microseconds each."""


class App:
    """An ASGI application.

    Args:
        path: File of the store; created with its folder where absent.

    Raises:
        UnusableStore: It cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self._store = SharedStore(path)
        self._written = 0
        self._routes: dict[tuple[str, str], Callable[[Mapping[str, Any]], Awaitable[Answer]]] = {
            ("POST", CHANGES): self._changes,
            ("POST", PUT): self._put,
            ("POST", REMOVE): self._remove,
            ("GET", "/health"): self._health,
        }

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        route = self._routes.get((scope.get("method", ""), scope["path"]))
        try:
            if route is None:
                status, content = 404, {"error": f"There is no {scope['path']!r} here."}
            else:
                status, content = await route(await _body(scope, receive))
        except FaultyItem as error:
            status, content = 422, {"error": str(error)}
        except (LookupError, TypeError, ValueError) as error:
            status, content = 400, {"error": f"The request is malformed: {error!r}"}
        except UnusableStore as error:
            status, content = 503, {"error": str(error)}
        except Exception as error:  # One request must not end the server.
            logger.exception("%s failed", scope["path"])
            status, content = 500, {"error": type(error).__name__}
        await asgi.answer(send, status, content)

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Close the store in the end."""
        try:
            yield
        finally:
            self._store.close()

    async def _changes(self, asked: Mapping[str, Any]) -> Answer:
        after, store = int(asked["after"]), str(asked.get("store", ""))
        loop = asyncio.get_running_loop()
        end = loop.time() + min(float(asked.get("wait", 0.0)), WAIT_SECONDS)
        while True:
            looked = (self._written, self._store.changed())
            if looked[1][1]:
                raise UnusableStore(f"{self._store.path} was removed while it was served.")
            found = self._store.changes(after, store=store)
            if found.rows or found.anew or loop.time() >= end:
                return 200, found.json()
            while looked == (self._written, self._store.changed()) and loop.time() < end:
                await asyncio.sleep(LOOK_SECONDS)

    async def _put(self, asked: Mapping[str, Any]) -> Answer:
        items = [item_of(given) for given in asked["items"]]
        vectors = [vector_of(given) for given in asked["vectors"]]
        known = frozenset(asked["known"])
        for item in items:
            item_id(item.item_id)
        done = self._store.put(
            items, vectors, replace=bool(asked["replace"]), known=known.__contains__
        )
        self._written += 1
        return 200, {"done": [[what, row_json(row)] for what, row in done]}

    async def _remove(self, asked: Mapping[str, Any]) -> Answer:
        rows = self._store.remove([item_id(name) for name in asked["item_ids"]])
        self._written += 1
        return 200, {"rows": [row_json(row) for row in rows]}

    async def _health(self, _: Mapping[str, Any]) -> Answer:
        self._store.changes(0, most=1)
        return 200, {"status": "ready"}


def serve(path: Path, *, host: str, port: int, announce: Callable[[str], object]) -> None:
    """Serve a store until SIGTERM or Ctrl-C.

    Args:
        path: File of the store.
        host: Address to listen on.
        port: 0 takes a free one.
        announce: Shown a sentence when requests can be sent and when the server stops.

    Raises:
        UnusableStore: The file is no usable store.
        SetupError: The port is taken.
    """

    def make() -> asgi.Opened:
        app = App(path)
        return app, app.open()

    asgi.serve(
        "live items server", make, host=host, port=port, announce=announce, what=f"of {path}"
    )


async def _body(scope: Message, receive: Receive) -> Mapping[str, Any]:
    if scope.get("method") == "GET":
        return {}
    parts, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ValueError("the client went away")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > MOST_BYTES:
            raise ValueError(f"longer than {MOST_BYTES} bytes")
        more = bool(message.get("more_body"))
    given = json.loads(b"".join(parts))
    if not isinstance(given, dict):
        raise ValueError("no JSON object")
    return given
