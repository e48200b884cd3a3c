"""Serves the registry's versions with the local tritonserver until it is interrupted."""

import dataclasses
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import polars as pl
from filelock import FileLock, Timeout

from counterpoint import artifacts, columns
from counterpoint.config.serve import DeployConfig
from counterpoint.errors import CounterpointError, DataError, SetupError
from serving import repository
from serving.access import Access
from serving.access import of as access_of
from serving.controller import Controller
from serving.engine import live_folder
from serving.engine.live_folder import Entry
from serving.model_options import options
from serving.registry import Registry
from serving.restarts import Restarts
from serving.server import FREE_PORTS, HOST, Ports, TritonServer

DEFAULT_PORTS = Ports(grpc=8001, http=8000, metrics=8002)
"""Triton's usual ports."""

_LOCK_SECONDS = 60.0
LOOK_SECONDS = 0.25


def materialise(config: DeployConfig, version: str | None = None) -> Path:
    """Write the Triton model repository of a version below ``config.triton`` and return it.

    Args:
        config: Registry, target form, folders.
        version: A version of the registry; none: the champion.

    Raises:
        DataError: There is no champion, or the version is damaged.
        ConfigError: There is no such version.
    """
    registry = Registry(config.registry)
    version = version or _champion(registry, config)
    wanted = registry.get(version)
    folder = Path(config.triton) / version
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder.with_name(f".{version}.lock"), timeout=_LOCK_SECONDS)
    try:
        with lock, registry.open(version) as source:
            repository.write(
                source,
                folder,
                form=config.target,
                number=wanted.number,
                options=options(config, version),
                environment=Path(config.triton_env).absolute()
                if config.target == "local"
                else None,
            )
    except Timeout as error:
        raise SetupError(
            f"Another process has been writing {folder} for {_LOCK_SECONDS:g} s. Wait for it, or "
            f"name another folder (deploy.triton)."
        ) from error
    return folder


def champion_server(
    config: DeployConfig,
    *,
    version: str | None = None,
    ports: Ports = FREE_PORTS,
    log: Path | None = None,
    access: Access | None = None,
) -> TritonServer:
    """Return a server of the champion (or a named version), to be started as a context manager.

    Args:
        config: Registry, folders, environment.
        version: A version of the registry; none: the champion.
        ports: 0 takes a free port.
        log: File of the server's output; default below ``config.triton``.
        access: TLS and tokens; default none: a server for this process alone.

    Raises:
        DataError: Nothing to serve.
        ConfigError: There is no such version.
    """
    local = config.model_copy(update={"target": "local"})
    return TritonServer(
        materialise(local, version),
        environment=Path(config.triton_env),
        log=log or Path(config.triton) / "tritonserver.log",
        start_timeout=config.start_timeout,
        ports=ports,
        access=access or Access(cache_mb=config.cache_mb),
    )


def champion_titles(config: DeployConfig) -> dict[str, str]:
    """Return item id -> title of the champion's catalogue.

    Raises:
        DataError: Nothing is served, or the version is damaged.
    """
    registry = Registry(config.registry)
    with registry.open(_champion(registry, config)) as folder:
        items = pl.read_parquet(folder / "onnx" / artifacts.ITEMS)
    titles = items[columns.TITLE].fill_null(items[columns.ITEM])
    return dict(zip(items[columns.ITEM], titles, strict=True))


def live_path(config: DeployConfig) -> Path:
    """Return the live folder of the server that ``run`` keeps."""
    return (Path(config.triton) / "live").absolute()


def run(
    config: DeployConfig,
    *,
    ports: Ports = DEFAULT_PORTS,
    announce: Callable[[str], None],
) -> None:
    """Serve in the foreground until Ctrl-C or SIGTERM, and follow the registry.

    A tritonserver that dies is started again (serving/restarts.py).

    Args:
        config: Registry, folders, environment.
        ports: 0 takes a free port.
        announce: Shown a sentence when requests can be sent and when something changes.

    Raises:
        DataError: There is no champion, or it is damaged.
        SetupError: Another ``counterpoint serve`` uses the folder, a port is taken, or a file of
            TLS, tokens or keys is missing or not secret.
        ServerError: The server ends again and again; shows the end of its log.
    """
    config = config.model_copy(update={"target": "local"})
    access = dataclasses.replace(access_of(config), cache_mb=0)  # See repository.write.
    live = live_path(config)
    live.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(live / ".serve.lock", timeout=0), _terminable():
            _serve(config, live, ports, access, announce)
    except Timeout as error:
        raise SetupError(
            f"Another `counterpoint serve` runs on {live}. Stop it, or name another folder for "
            f"this one (deploy.triton)."
        ) from error


def _serve(
    config: DeployConfig,
    live: Path,
    ports: Ports,
    access: Access,
    announce: Callable[[str], None],
) -> None:
    registry = Registry(config.registry)
    models = Path(config.triton).absolute() / "models"
    controller = Controller(registry, live, models=models, announce=announce)
    stop = threading.Event()
    follower = threading.Thread(
        target=controller.run, args=(stop,), kwargs={"seconds": config.poll_seconds}, daemon=True
    )
    server: TritonServer | None = None
    try:
        champion = controller.begin().champion
        announce("Starting tritonserver …")
        server = _server(config, registry, champion, ports, access)
        with server:
            where = server.ports
            announce(
                f"Serving {champion.version}: gRPC {HOST}:{where.grpc}, HTTP {HOST}:{where.http}, "
                f"metrics http://{HOST}:{where.metrics}/metrics. Stop with Ctrl-C."
            )
            follower.start()
            _keep(server, live, announce)
    except KeyboardInterrupt:
        announce("tritonserver stopped.")
    finally:
        stop.set()
        if follower.is_alive():
            follower.join()


def _server(
    config: DeployConfig, registry: Registry, champion: Entry, ports: Ports, access: Access
) -> TritonServer:
    environment = Path(config.triton_env).absolute()
    models = Path(config.triton).absolute() / "models"
    with registry.open(champion.version) as source:
        repository.write(
            source,
            models,
            form="local",
            number=champion.number,
            options=options(config, champion.version),
            environment=environment,
            live=live_path(config),
        )
    return TritonServer(
        models,
        environment=environment,
        log=Path(config.triton) / "tritonserver.log",
        start_timeout=config.start_timeout,
        ports=ports,
        access=access,
    )


def _keep(server: TritonServer, live: Path, announce: Callable[[str], None]) -> None:
    """Start the server again whenever it, or the process of a model, ends; returns never.

    Triton itself does not replace the process of a model: it answers "not healthy" from then on.
    """
    restarts = Restarts()
    while True:
        while server.running and not (dead := live_folder.dead(live)):
            time.sleep(LOOK_SECONDS)
        began = time.monotonic()
        what = f"The process of {', '.join(dead)}" if server.running else "tritonserver"
        announce(f"{what} ended by itself; starting tritonserver again …")
        ready = False
        while not ready:
            time.sleep(restarts.delay(time.monotonic(), server.tail()))
            try:
                live_folder.drop_dead_statuses(live)
                server.restart()
                ready = True
            except CounterpointError as error:
                announce(f"It did not start: {str(error).splitlines()[0]}")
        announce(f"tritonserver answers again after {time.monotonic() - began:.1f} s.")


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM end the block as Ctrl-C does."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _champion(registry: Registry, config: DeployConfig) -> str:
    champion = registry.champion()
    if champion is None:
        raise DataError(
            f"The registry {config.registry} has no champion to serve. Run `counterpoint run "
            f"training` first, or name the registry (deploy.registry)."
        )
    return champion.version
