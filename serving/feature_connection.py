"""One kept-alive HTTP connection whose exchanges end at a deadline (standard library only).

``http.client`` limits each wait for a byte. A server that sends one byte a second would hold a
request for minutes; here all waits of an exchange share one deadline.
"""

import contextlib
import http.client
import io
import socket
import threading
import time
from collections.abc import Mapping
from typing import Any

Answer = tuple[int, bytes]
"""HTTP status and body."""

NOTHING: Mapping[str, str] = {}


class DeadlineSocket:
    """The part of a socket that ``http.client`` uses, with a deadline over all its waits."""

    def __init__(self, raw: socket.socket) -> None:
        self._raw = raw
        self.deadline = 0.0

    def sendall(self, data: Any) -> None:
        """Send all, or raise TimeoutError."""
        self._limit()
        self._raw.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        """Return a reader of the socket."""
        return io.BufferedReader(_Reader(self))

    def receive(self, buffer: Any) -> int:
        """Fill a buffer with what has arrived, or raise TimeoutError."""
        self._limit()
        return self._raw.recv_into(buffer)

    def close(self) -> None:
        """Close the socket."""
        self._raw.close()

    def _limit(self) -> None:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the deadline of the lookup has passed")
        self._raw.settimeout(left)


class _Reader(io.RawIOBase):
    def __init__(self, source: DeadlineSocket) -> None:
        self._source = source

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._source.receive(buffer)


class Connection(http.client.HTTPConnection):
    """A connection to ``host:port``; not for several threads at once.

    Attributes:
        plain: The server was found to have Feast's own routes only.
    """

    plain = False
    sock: Any
    _limited: DeadlineSocket
    _deadline = 0.0

    def connect(self) -> None:
        """Connect before the deadline."""
        # In a thread, because looking a name up cannot be limited: it may take many seconds.
        outcome: list[socket.socket | OSError] = []
        abandoned = threading.Event()

        def attempt() -> None:
            try:
                left = max(0.001, self._deadline - time.monotonic())
                raw = socket.create_connection((self.host, self.port), left)
                raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                outcome.append(raw)
                if abandoned.is_set():
                    raw.close()
            except OSError as error:
                outcome.append(error)

        thread = threading.Thread(target=attempt, name="feature-server-connect", daemon=True)
        thread.start()
        thread.join(max(0.0, self._deadline - time.monotonic()))
        if not outcome:
            abandoned.set()
            raise TimeoutError(f"no connection to {self.host}:{self.port} in time")
        found = outcome[0]
        if isinstance(found, OSError):
            raise found
        self.plain = False
        self._limited = DeadlineSocket(found)
        self.sock = self._limited

    def post(
        self, path: str, body: bytes, deadline: float, headers: Mapping[str, str] = NOTHING
    ) -> Answer:
        """Send a JSON body and return the answer.

        Args:
            path: Path of the route.
            body: JSON.
            deadline: When to give up (time.monotonic).
            headers: Sent along.

        Raises:
            OSError, http.client.HTTPException: No answer in time, or none that is HTTP.
        """
        reused = self.sock is not None
        sent = {"Content-Type": "application/json", **headers}
        try:
            return self._exchange(path, body, deadline, sent)
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
            self.close()
            if not reused:
                raise
        # The server closed an idle connection: that is no failure, ask once more.
        return self._exchange(path, body, deadline, sent)

    def _exchange(
        self, path: str, body: bytes, deadline: float, headers: Mapping[str, str]
    ) -> Answer:
        self._deadline = deadline
        if self.sock is None:
            self.connect()
        self._limited.deadline = deadline
        try:
            self.request("POST", path, body, headers)
            response = self.getresponse()
            return response.status, response.read()
        except BaseException:
            with contextlib.suppress(OSError):
                self.close()
            raise
