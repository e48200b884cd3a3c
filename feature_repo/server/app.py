"""The feature server's routes: three of our own, all others Feast's.

================================  ==================================================================
``POST /users``                   features of users, the cheap way (FastAPI alone costs more)
``POST /events``                  interactions, merged into the histories of their users
``GET /health``                   200 when lookups are answered, else 503
``GET /live``                     200 while the process answers at all
everything else                   Feast's feature server (feast.feature_server.get_app)
================================  ==================================================================
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from counterpoint import asgi
from counterpoint.asgi import Answer, Message, Receive, Send
from counterpoint.errors import CounterpointError, SetupError, as_fault
from feature_repo import services
from feature_repo.server import events as event_body
from feature_repo.server.events import BadRequest
from feature_repo.server.following import Following

logger = logging.getLogger(__name__)

MOST_USERS: Final = 1_000
MOST_BYTES: Final = 8_000_000
HEALTH_SECONDS: Final = 2.0


class App:
    """An ASGI application.

    Args:
        following: The data version that is served; started by whoever makes the application.
    """

    def __init__(self, following: Following) -> None:
        self._following = following
        self._routes: dict[tuple[str, str], Callable[[Receive], Awaitable[Answer]]] = {
            ("POST", "/users"): self._users,
            ("POST", "/events"): self._events,
            ("GET", "/health"): self._health,
            ("GET", "/live"): self._live,
        }

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        route = self._routes.get((scope.get("method", ""), scope["path"]))
        if route is None:
            with self._following.using() as opened:
                await opened.feast(scope, receive, send)
            return
        try:
            status, content = await route(receive)
        except BadRequest as error:
            status, content = error.status, {"error": str(error), "faults": error.faults}
        except CounterpointError as error:
            status, content = 503, {"error": str(error)}
        except Exception as error:  # One request must not end the server.
            logger.exception("%s failed", scope["path"])
            fault = as_fault(error)
            status = 500 if fault is None else 503
            content = {"error": str(fault or f"{type(error).__name__}: {error}")}
        await asgi.answer(send, status, content)

    async def _users(self, receive: Receive) -> Answer:
        """Answer ``{"service", "users", "features"?}`` with ``{"features", "users"}``.

        A row of ``users`` is the values in the order of ``features``, or null.
        """
        service, users, wanted = _question(await _body(receive))
        with self._following.using() as opened:
            try:
                reader = opened.reader(service)
            except SetupError as error:
                return 404, {"error": str(error)}
            names = reader.names if wanted is None else wanted
            unknown = [name for name in names if name not in reader.names]
            if unknown:
                raise _bad("features", f"{unknown[0]!r} is not one of {', '.join(reader.names)}")
            rows = await reader.read(users, names)
        return 200, {"features": names, "users": rows}

    async def _events(self, receive: Receive) -> Answer:
        frame = event_body.read(await _body(receive))
        result = await self._following.push(frame)
        return 200, {
            "accepted": len(frame),
            "users_changed": len(result.changed),
            "unknown_items": result.unknown_items,
        }

    async def _health(self, _: Receive) -> Answer:
        with self._following.using() as opened:
            try:
                asked = opened.read(services.RECOMMENDER, ["health"])
                await asyncio.wait_for(asked, HEALTH_SECONDS)
            except Exception as error:  # Whatever a store fails with, it cannot answer lookups.
                return 503, {"status": "unavailable", "error": f"{type(error).__name__}: {error}"}
            ready = {"status": "ready", "data_version": opened.version}
        return 200, ready | {"newer_version_failed": self._following.failure}

    async def _live(self, _: Receive) -> Answer:
        return 200, {"status": "live"}


def _question(body: bytes) -> tuple[str, list[str], list[str] | None]:
    try:
        asked = json.loads(body)
    except RecursionError:
        raise _bad("body", "nested too deeply") from None
    except ValueError as error:
        raise _bad("body", f"not JSON ({error})") from None
    if not isinstance(asked, dict):
        raise _bad("body", "must be an object with service and users")
    service, users, wanted = asked.get("service"), asked.get("users"), asked.get("features")
    if not isinstance(service, str):
        raise _bad("service", "must be the name of a feature service")
    if not isinstance(users, list) or not all(isinstance(user, str) for user in users):
        raise _bad("users", "must be a list of user ids (strings)")
    if any(_is_half(text) for text in (service, *users)):
        raise _bad("users", "a text has half of a surrogate pair, which is no character")
    if not 1 <= len(users) <= MOST_USERS:
        raise _bad("users", f"must hold 1 to {MOST_USERS} ids, not {len(users)}")
    if wanted is not None and (
        not isinstance(wanted, list) or not all(isinstance(name, str) for name in wanted)
    ):
        raise _bad("features", "must be a list of feature names, or left out for all")
    return service, users, wanted


def _is_half(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


async def _body(receive: Receive) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _bad("body", "the client went away")
        part = message.get("body", b"")
        size += len(part)
        if size > MOST_BYTES:
            raise BadRequest(
                [{"field": "body", "message": f"longer than {MOST_BYTES} bytes; send it in parts"}],
                status=413,
            )
        if not message.get("more_body"):
            return part if not parts else b"".join([*parts, part])
        parts.append(part)


def _bad(field: str, message: str) -> BadRequest:
    return BadRequest([{"field": field, "message": message}])
