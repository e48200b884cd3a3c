"""User features over HTTP from the Feast feature server (inside Triton: standard library only)."""

import http.client
import json
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

logger = logging.getLogger(__name__)

RETRY_SECONDS = 2.0
"""After a failure the server is left alone this long, so that an outage costs one timeout, not one
per request."""


class FeatureServerDown(Exception):
    """The feature server did not answer in time or answered wrongly."""


class FeatureServer:
    """A client of ``POST /get-online-features`` with one kept-alive connection.

    Args:
        address: ``host:port``.
        service: Name of the FeatureService.
        timeout: Seconds for connecting and for each answer.
    """

    def __init__(self, address: str, *, service: str, timeout: float) -> None:
        self._connection = http.client.HTTPConnection(address, timeout=timeout)
        self._service = service
        self._down_until = 0.0

    def get(
        self, user_ids: Sequence[str], headers: Mapping[str, str]
    ) -> dict[str, Mapping[str, Any]]:
        """Return the features of the users that the store knows: user id -> feature -> value.

        Args:
            user_ids: Who is wanted.
            headers: Sent along: the trace context.

        Raises:
            FeatureServerDown: No usable answer.
        """
        if time.monotonic() < self._down_until:
            raise FeatureServerDown("the feature server failed a moment ago")
        body = json.dumps({"feature_service": self._service, "entities": {"user_id": [*user_ids]}})
        try:
            answer = self._post("/get-online-features", body, headers)
            names = answer["metadata"]["feature_names"]
            columns = [column["values"] for column in answer["results"]]
            table = dict(zip(names, columns, strict=True))
            rows = {
                user: {name: table[name][row] for name in names if name != "user_id"}
                for row, user in enumerate(user_ids)
            }
        except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError) as error:
            self._connection.close()
            self._down_until = time.monotonic() + RETRY_SECONDS
            # Not the error's text: it may quote the answer and with it user ids.
            logger.warning("Feature server failed, the snapshot answers: %s", type(error).__name__)
            raise FeatureServerDown(str(error)) from error
        return {u: row for u, row in rows.items() if any(v is not None for v in row.values())}

    def _post(self, path: str, body: str, extra: Mapping[str, str]) -> Any:
        headers = {"Content-Type": "application/json", **extra}
        try:
            self._connection.request("POST", path, body, headers)
            response = self._connection.getresponse()
        except (http.client.RemoteDisconnected, BrokenPipeError):
            # The server closed an idle connection: that is no failure, ask once more.
            self._connection.close()
            self._connection.request("POST", path, body, headers)
            response = self._connection.getresponse()
        content = response.read()
        if response.status != 200:
            raise ValueError(f"HTTP {response.status}: {content[:200]!r}")
        return json.loads(content)
