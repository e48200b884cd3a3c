"""The feature server as a process beside tritonserver: started, watched, ended with this one."""

import contextlib
import http.client
import logging
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from counterpoint.errors import ServerError
from serving import supervisor
from serving.server import HOST, Ports, choose

logger = logging.getLogger(__name__)

MODULE: Final = "feature_repo.server"
"""Started by name: serving and feature_repo do not import each other."""

_GRACE_SECONDS: Final = 7
_LOOK_SECONDS: Final = 0.1
_PAUSES: Final = (0.0, 1.0, 2.0, 5.0, 10.0)
"""Seconds before the first, second, … new start in a row."""

_STEADY_SECONDS: Final = 60.0
"""A server that has run so long begins with the first pause again."""


class FeatureServerProcess:
    """A feature server on 127.0.0.1; a context manager.

    It ends with the block, and also when this process dies of SIGKILL (serving/supervisor.py). One
    that ends by itself is started again; meanwhile answers are degraded.

    Args:
        state: ``features.state``.
        port: 0 takes a free one.
        log: File of its output; a new start appends.
        start_timeout: Seconds until it must be ready.
    """

    def __init__(self, state: Path, *, port: int, log: Path, start_timeout: float = 120.0) -> None:
        self._state = state.absolute()
        self._wanted = port
        self._log = log
        self._start_timeout = start_timeout
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: int | None = None
        self._ending = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="feature-server", daemon=True)
        self.port = port

    @property
    def address(self) -> str:
        """``host:port``."""
        return f"{HOST}:{self.port}"

    def __enter__(self) -> Self:
        """Start the server and wait until it is ready.

        Raises:
            SetupError: The port is taken.
            ServerError: The server did not come up; shows the end of its log.
        """
        self.port = choose(Ports(http=self._wanted)).http
        self._log.parent.mkdir(parents=True, exist_ok=True)
        self._log.unlink(missing_ok=True)
        try:
            self._launch()
            self._await_ready()
        except BaseException:
            self._end()
            raise
        self._watcher.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ending.set()
        self._watcher.join()
        self._end()

    @property
    def ready(self) -> bool:
        """Whether it answers lookups."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=2.0)
        with (
            contextlib.closing(connection),
            contextlib.suppress(OSError, http.client.HTTPException),
        ):
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        return False

    def _launch(self) -> None:
        reading, self._pipe = os.pipe()
        scratch = tempfile.mkdtemp(prefix="counterpoint-features-")
        supervised = [sys.executable, "-I", supervisor.__file__]
        settings = [str(reading), str(_GRACE_SECONDS), scratch]
        program = [sys.executable, "-m", MODULE]
        program += ["--state", str(self._state), "--host", HOST, "--port", str(self.port)]
        try:
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(
                    [*supervised, *settings, *program],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    pass_fds=[reading],
                    start_new_session=True,
                )
        finally:
            os.close(reading)

    def _end(self) -> None:
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None
        if self._process is not None:
            self._process.wait()
            self._process = None

    def _await_ready(self) -> None:
        end = time.monotonic() + self._start_timeout
        while time.monotonic() < end:
            assert self._process is not None
            if self._process.poll() is not None:
                raise ServerError(
                    f"The feature server ended while starting. The end of {self._log}:\n"
                    f"{self._tail()}"
                )
            if self.ready:
                return
            time.sleep(_LOOK_SECONDS)
        raise ServerError(
            f"The feature server was not ready after {self._start_timeout:g} s. The end of "
            f"{self._log}:\n{self._tail()}"
        )

    def _watch(self) -> None:
        started, failures = time.monotonic(), 0
        while not self._ending.wait(_LOOK_SECONDS):
            if self._process is not None and self._process.poll() is None:
                continue
            if time.monotonic() - started > _STEADY_SECONDS:
                failures = 0
            pause = _PAUSES[min(failures, len(_PAUSES) - 1)]
            logger.warning("The feature server ended by itself; it is started again")
            if self._ending.wait(pause):
                return
            failures += 1
            self._end()
            started = time.monotonic()
            self._launch()

    def _tail(self) -> str:
        lines = self._log.read_text("utf-8", "replace").splitlines()
        return "\n".join(lines[-15:])
