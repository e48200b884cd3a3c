"""`counterpoint serve` as a program of its own, on a registry made for the benchmark."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import tritonclient.grpc as grpc
from tritonclient.utils import InferenceServerException

from benchmarks.serving.part import Setting
from counterpoint.errors import CounterpointError, ServerError
from serving import running, serve
from serving.engine import live_folder
from serving.registry import Registry
from serving.server import HOST, Ports, choose

START_SECONDS = 180.0
LOOK_SECONDS = 0.02


@dataclass
class Served:
    """A running `counterpoint serve`.

    Attributes:
        registry: The registry that it follows.
        names: Name of each version -> its name in the registry.
        live: Its live folder.
        ports: Where it listens.
        features: host:port of its feature server, empty without.
        process: The program.
        output: File of what it says.
    """

    registry: Registry
    names: Mapping[str, str]
    live: Path
    ports: Ports
    features: str
    process: "subprocess.Popen[bytes]"
    output: Path

    @property
    def url(self) -> str:
        """``host:port`` of the gRPC endpoint."""
        return f"{HOST}:{self.ports.grpc}"

    @property
    def http(self) -> str:
        """``host:port`` of the HTTP endpoint."""
        return f"{HOST}:{self.ports.http}"

    def ready(self) -> bool:
        """Whether it answers questions."""
        with contextlib.closing(grpc.InferenceServerClient(self.url)) as client:
            try:
                return bool(client.is_model_ready("recommend", client_timeout=1.0))
            except InferenceServerException:
                return False

    def processes(self) -> dict[int, str]:
        """Return all living processes below the program and itself: pid -> what it is."""
        found = {self.process.pid: "counterpoint serve"}
        waiting = [self.process.pid]
        while waiting:
            pid = waiting.pop()
            for child in children(pid):
                found[child] = label(child)
                waiting.append(child)
        models = {s["pid"]: f"model {s['model']}" for s in live_folder.statuses(self.live)}
        return found | {pid: name for pid, name in models.items() if pid in found}

    def tritonserver(self) -> int:
        """Return the process id of tritonserver."""
        return next(pid for pid, name in self.processes().items() if name == "tritonserver")

    def front(self) -> int:
        """Return the process id of the model `recommend`."""
        return next(pid for pid, name in self.processes().items() if name == "model recommend")

    def follow(self) -> running.Followed:
        """Wait until the server has dealt with the registry's pointers."""
        pointers = self.registry.pointers()
        assert pointers is not None
        followed = running.wait(self.live, pointers, timeout=60)
        if followed is None:
            raise ServerError(f"The server ended; see {self.output}.")
        return followed


@contextlib.contextmanager
def serving(
    setting: Setting,
    versions: Mapping[str, Path] | None = None,
    *,
    live: bool = True,
    settings: Sequence[str] = (),
) -> Iterator[Served]:
    """Serve a version with the command line, until the block ends.

    Args:
        setting: Which version, which features.
        versions: Name -> ``onnx`` folder of the versions to publish, the champion first; none: the
            measured one alone.
        live: Start the feature server too.
        settings: Further ``section.key=value``.
    """
    ports = choose(Ports())
    features = choose(Ports()).http
    home = Path(tempfile.mkdtemp(prefix="served-", dir=setting.scratch))
    registry = Registry(str(home / "registry"))
    folders = versions or {setting.name: setting.folder / "onnx"}
    names = {name: publish(registry, folder) for name, folder in folders.items()}
    registry.promote(next(iter(names.values())), why="benchmark")
    triton = home / "triton"
    changed = [
        f"deploy.registry={registry.root}",
        f"deploy.triton={triton}",
        f"deploy.live_items={home / 'items.sqlite'}",
        f"features.state={setting.features.absolute()}",
        *setting.overrides,
        *settings,
    ]
    command = [sys.executable, "-m", "pipelines.cli", "serve"]
    for name in ("grpc", "http", "metrics"):
        command += [f"--{name}-port", str(getattr(ports, name))]
    command += ["--live", "--live-port", str(features)] if live else []
    for value in changed:
        command += ["--set", value]
    output = home / "serve.log"
    with output.open("wb") as log:
        process = _start(command, log)
    config = setting.config.deploy.model_copy(update={"triton": str(triton)})
    served = Served(
        registry=registry,
        names=names,
        live=serve.live_path(config),
        ports=ports,
        features=f"{HOST}:{features}" if live else "",
        process=process,
        output=output,
    )
    try:
        await_ready(served, START_SECONDS)
        yield served
    finally:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(60)
        process.kill()
        process.wait()


def publish(registry: Registry, folder: Path) -> str:
    """Publish an ``onnx`` folder and return the version's name."""
    return registry.publish({"onnx": folder}, details={}, why="benchmark").version


def await_ready(served: Served, seconds: float) -> None:
    """Wait until questions are answered.

    Raises:
        ServerError: The program ended, or it took too long; shows what it said.
    """
    end = time.monotonic() + seconds
    while not served.ready():
        if served.process.poll() is not None or time.monotonic() > end:
            said = served.output.read_text("utf-8", "replace")[-2000:]
            raise ServerError(f"`counterpoint serve` does not answer. It said:\n{said}")
        time.sleep(LOOK_SECONDS)


def children(pid: int) -> list[int]:
    """Return the children of a process."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return [int(c) for task in tasks for c in (task / "children").read_text().split()]
    except OSError:
        return []


def label(pid: int) -> str:
    """Say what a process is, from its command line."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace").split("\0")
    except OSError:
        return "gone"
    for part, name in (
        ("supervisor.py", "supervisor"),
        ("feature_repo.server", "feature server"),
        ("triton_python_backend_stub", "model"),
        ("tritonserver", "tritonserver"),
    ):
        if any(part in word for word in words):
            return name
    return Path(words[0]).name or "gone"


def resident(pids: Sequence[int]) -> int:
    """Return the resident bytes of processes, gone ones left out."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            total += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return total * os.sysconf("SC_PAGE_SIZE")


def cpu_seconds(pids: Mapping[int, str]) -> dict[str, float]:
    """Return the CPU seconds used so far, by what the processes are."""
    found: dict[str, float] = {}
    for pid, name in pids.items():
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            spent = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
            found[name] = found.get(name, 0.0) + spent
    return found


def _start(command: Sequence[str], log: IO[bytes]) -> "subprocess.Popen[bytes]":
    try:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
        )
    except OSError as error:
        raise CounterpointError(f"{command[0]} cannot be started: {error}") from error
