"""User features over HTTP from the feature server (inside Triton: standard library only)."""

import collections
import contextlib
import http.client
import json
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from serving.feature_connection import NOTHING, Connection

logger = logging.getLogger(__name__)

RETRY_SECONDS = 2.0
"""After a failure the server is left alone this long, so that an outage costs one timeout, not one
per request."""

FEATURES: Final = ("history", "history_positive", "attributes")
"""What the front reads of a user."""


class FeatureServerDown(Exception):
    """The feature server did not answer in time or answered wrongly."""


class FeatureServer:
    """A client of the feature server, for any number of threads.

    It asks ``POST /users`` (feature_repo/server) and, where that is missing, Feast's own
    ``POST /get-online-features``. Each connection serves one request at a time and is kept alive.

    Args:
        address: ``host:port``.
        service: Name of the FeatureService.
        timeout: Seconds for a whole lookup, connecting included.
    """

    def __init__(self, address: str, *, service: str, timeout: float) -> None:
        self._address = address
        self._service = service
        self._timeout = timeout
        self._idle: collections.deque[Connection] = collections.deque()
        self._down_until = 0.0

    def get(
        self, user_ids: Sequence[str], headers: Mapping[str, str] = NOTHING
    ) -> dict[str, Mapping[str, Any]]:
        """Return the features of the users that the store knows: user id -> feature -> value.

        Args:
            user_ids: Who is wanted.
            headers: Sent along: the trace context.

        Raises:
            FeatureServerDown: No usable answer before the timeout.
        """
        if time.monotonic() < self._down_until:
            raise FeatureServerDown("the feature server failed a moment ago")
        deadline = time.monotonic() + self._timeout
        try:
            with self._connection() as connection:
                rows = self._ask(connection, user_ids, headers, deadline)
        except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError) as error:
            self._down_until = time.monotonic() + RETRY_SECONDS
            # Not the error's text: it may quote the answer and with it user ids.
            kind = type(error).__name__
            logger.warning("Feature server failed, older features are used: %s", kind)
            raise FeatureServerDown(str(error)) from error
        return {u: row for u, row in rows.items() if any(v is not None for v in row.values())}

    @contextlib.contextmanager
    def _connection(self) -> Iterator[Connection]:
        """Lend a connection; one on which something failed is not used again."""
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = Connection(self._address)
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        self._idle.append(connection)

    def _ask(
        self,
        connection: Connection,
        user_ids: Sequence[str],
        headers: Mapping[str, str],
        deadline: float,
    ) -> dict[str, dict[str, Any]]:
        if not connection.plain:
            body = {"service": self._service, "users": [*user_ids], "features": FEATURES}
            status, content = connection.post(
                "/users", json.dumps(body).encode(), deadline, headers
            )
            if status not in (404, 405):
                answer = _json(status, content)
                return {
                    user: {} if row is None else dict(zip(answer["features"], row, strict=True))
                    for user, row in zip(user_ids, answer["users"], strict=True)
                }
            connection.plain = True
        asked = {"feature_service": self._service, "entities": {"user_id": [*user_ids]}}
        status, content = connection.post(
            "/get-online-features", json.dumps(asked).encode(), deadline, headers
        )
        answer = _json(status, content)
        names = answer["metadata"]["feature_names"]
        columns = [column["values"] for column in answer["results"]]
        table = dict(zip(names, columns, strict=True))
        return {
            user: {name: table[name][row] for name in names if name != "user_id"}
            for row, user in enumerate(user_ids)
        }


def _json(status: int, content: bytes) -> Any:
    if status != 200:
        raise ValueError(f"HTTP {status}: {content[:200]!r}")
    return json.loads(content)
