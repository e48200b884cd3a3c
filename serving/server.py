"""Starts and stops the local tritonserver that the nvidia-pytriton wheel carries."""

import contextlib
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from counterpoint.errors import ServerError, SetupError
from serving import environment as environments
from serving import supervisor
from serving.access import OPEN, Access, ready

logger = logging.getLogger(__name__)

HOST = "127.0.0.1"
GRACE_SECONDS = 5
"""How long a stopping server may finish its requests."""

_TAIL_LINES = 15


@dataclass(frozen=True)
class Ports:
    """Ports of one server; 0 takes a free one."""

    grpc: int = 0
    http: int = 0
    metrics: int = 0


FREE_PORTS = Ports()


class TritonServer:
    """A tritonserver on 127.0.0.1 with explicit model control; a context manager.

    It ends with the block, and also when this process dies of SIGKILL (serving/supervisor.py).
    Triton pastes paths unquoted into shell commands, so everything it sees lies under a scratch
    folder whose path has no special character; the real paths may have any.

    Args:
        repository: Model repository (serving/repository.py).
        environment: Virtual environment with the server (requirements/triton.txt).
        log: File of the server's output.
        models: Models to load; all of the repository by default.
        ports: Ports to listen on.
        start_timeout: Seconds until the models must be ready.
        access: TLS, tokens and cache.
    """

    def __init__(
        self,
        repository: Path,
        *,
        environment: Path,
        log: Path,
        models: list[str] | None = None,
        ports: Ports = FREE_PORTS,
        start_timeout: float = 60.0,
        access: Access = OPEN,
    ) -> None:
        self.repository = repository.resolve()
        self._environment = environment.absolute()
        self._log = log
        self._models = models or sorted(p.parent.name for p in repository.glob("*/config.pbtxt"))
        self._wanted = ports
        self._start_timeout = start_timeout
        self._access = access
        self._scratch: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: int | None = None
        self._log_mode = "wb"
        self.ports = ports

    @property
    def url(self) -> str:
        """``host:port`` of the gRPC endpoint."""
        return f"{HOST}:{self.ports.grpc}"

    @property
    def running(self) -> bool:
        """Whether the server's process lives."""
        return self._process is not None and not _ended(self._process.pid, os.WNOHANG)

    def __enter__(self) -> Self:
        """Start the server and wait until every model is ready.

        Raises:
            SetupError: The environment is unusable or a port is taken.
            ServerError: The server did not come up; shows the end of its log.
        """
        found = environments.inspect(self._environment)
        self.ports = choose(self._wanted)
        if not self._models:
            raise ServerError(f"The model repository {self.repository} holds no model.")
        try:
            self._launch(found)
            self._await_ready()
        except BaseException:
            self.stop()
            raise
        logger.info("tritonserver serves %s at %s", ", ".join(self._models), self.url)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def restart(self) -> None:
        """Kill what is left of a server and start it again, on the ports it had.

        Its log is continued.

        Raises:
            SetupError: A port is taken.
            ServerError: The server did not come up.
        """
        if self._pipe is not None:
            with contextlib.suppress(BrokenPipeError):
                os.write(self._pipe, supervisor.KILL)
        self.stop()
        self._wanted, self._log_mode = self.ports, "ab"
        self.__enter__()

    def stop(self) -> None:
        """Stop the server; harmless when it does not run."""
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None
        if self._process is not None:
            _ended(self._process.pid, 0)
            # Usually nobody is left; a supervisor that was killed has left its whole group. The
            # number of the group is not given away before the supervisor is waited for.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None
        if self._scratch is not None:
            supervisor.remove_remains(self._scratch)
            self._scratch = None

    def tail(self) -> str:
        """Return the last telling lines of the server's log."""
        lines = self._log.read_text("utf-8", "replace").splitlines() if self._log.exists() else []
        telling = [line for line in lines if line.strip() and not line.startswith(("I", "+", "|"))]
        return "\n".join((telling or lines)[-_TAIL_LINES:])

    def _launch(self, found: environments.TritonEnvironment) -> None:
        scratch = self._scratch = _scratch_folder()
        backend = scratch / "backends" / "python"
        shutil.copytree(found.backend, backend, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(found.stub, backend / found.stub.name)
        (scratch / "models").symlink_to(self.repository)
        (scratch / "libraries").symlink_to(found.libraries)
        libraries = [scratch / "libraries"]
        if found.python_library is not None:
            (scratch / "python").symlink_to(found.python_library)
            libraries.append(scratch / "python")
        command = [
            str(found.server),
            f"--model-repository={scratch / 'models'}",
            f"--backend-directory={scratch / 'backends'}",
            f"--backend-config=python,shm-region-prefix-name={scratch.name}",
            "--model-control-mode=explicit",
            *(f"--load-model={model}" for model in self._models),
            "--disable-auto-complete-config",
            f"--exit-timeout-secs={GRACE_SECONDS}",
            *self._access.flags(found.server.parents[1] / "caches"),
        ]
        for protocol in ("grpc", "http", "metrics"):
            command += [
                f"--{protocol}-address={HOST}",
                f"--{protocol}-port={getattr(self.ports, protocol)}",
            ]
        reading, self._pipe = os.pipe()
        self._log.parent.mkdir(parents=True, exist_ok=True)
        program = [sys.executable, "-I", supervisor.__file__]
        settings = [str(reading), str(GRACE_SECONDS + 2), str(scratch)]
        try:
            with self._log.open(self._log_mode) as log:
                self._process = subprocess.Popen(
                    [*program, *settings, *command],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    pass_fds=[reading],
                    start_new_session=True,
                    env=self._variables(found, libraries),
                )
        finally:
            os.close(reading)

    def _variables(
        self, found: environments.TritonEnvironment, libraries: list[Path]
    ) -> Mapping[str, str]:
        kept = {k: v for k, v in os.environ.items() if k not in {"PYTHONPATH", "PYTHONHOME"}}
        return kept | {
            "LD_LIBRARY_PATH": ":".join(map(str, libraries)),
            # The stub's interpreter takes the environment of the first python on the PATH.
            "PATH": f"{found.root / 'bin'}:{kept.get('PATH', '/usr/bin:/bin')}",
            "VIRTUAL_ENV": str(found.root),
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def _await_ready(self) -> None:
        end = time.monotonic() + self._start_timeout
        while time.monotonic() < end:
            if not self.running:
                raise ServerError(
                    f"tritonserver ended while starting. The end of its log {self._log}:\n"
                    f"{self.tail()}"
                )
            if ready(HOST, self.ports.http, self._models):
                return
            time.sleep(0.1)
        raise ServerError(
            f"tritonserver was not ready after {self._start_timeout:g} s. Raise the timeout on a "
            f"slow machine. The end of its log {self._log}:\n{self.tail()}"
        )


def _ended(pid: int, flags: int) -> bool:
    """Say whether a child has ended, without waiting for it in the sense of wait(2)."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | flags) is not None


def _scratch_folder() -> Path:
    """Make a folder for this server whose path a shell reads as one word."""
    for base in (tempfile.gettempdir(), "/tmp", "/var/tmp", "/dev/shm"):
        plain = all(c.isalnum() or c in "/._-" for c in str(Path(base).resolve()))
        if plain and os.access(base, os.W_OK | os.X_OK):
            return Path(tempfile.mkdtemp(prefix="counterpoint-triton-", dir=Path(base).resolve()))
    raise SetupError(
        "tritonserver needs a writable temporary folder whose path has no space or other special "
        "character; neither TMPDIR nor /tmp, /var/tmp, /dev/shm is one. Set TMPDIR to one."
    )


def choose(wanted: Ports) -> Ports:
    """Check the given ports and pick free ones for the others, all different."""
    with contextlib.ExitStack() as held:
        chosen = []
        for name in ("grpc", "http", "metrics"):
            port = getattr(wanted, name)
            listener = held.enter_context(socket.socket())
            # Triton listens with SO_REUSEADDR too: connections that linger do not block the port.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind((HOST, port))
            except (OSError, OverflowError) as error:
                raise SetupError(
                    f"The {name} port {port} of {HOST} cannot be used: {error}. Stop the program "
                    f"that uses it, or choose another port (0 takes a free one)."
                ) from error
            chosen.append(listener.getsockname()[1])
    return Ports(*chosen)
