"""Serves the champion with the local tritonserver until it is interrupted."""

import time
from collections.abc import Callable
from pathlib import Path

import polars as pl
from filelock import FileLock, Timeout

from counterpoint import artifacts, columns
from counterpoint.config.serve import DeployConfig
from counterpoint.errors import DataError, ServerError, SetupError
from serving import repository
from serving.access import Access
from serving.access import of as access_of
from serving.registry import Registry
from serving.server import FREE_PORTS, HOST, Ports, TritonServer

DEFAULT_PORTS = Ports(grpc=8001, http=8000, metrics=8002)
"""Triton's usual ports."""

_LOCK_SECONDS = 60.0


def options(config: DeployConfig, version: str) -> dict[str, str]:
    """Return the parameters of the served models."""
    return {
        "version": version,
        "feature_server": config.feature_server or "",
        "feature_service": config.feature_service,
        "feature_timeout": str(config.feature_timeout),
        **operations(config),
    }


def operations(config: DeployConfig) -> dict[str, str]:
    """Return the parameters of the served models that are about running them."""
    return {
        "max_request_bytes": str(config.max_request_bytes),
        "instances": str(config.instances),
        "max_queued_requests": str(config.max_queued_requests),
        "queue_timeout": str(config.queue_timeout),
        "response_cache": "true" if config.cache_mb else "false",
        "log_requests": config.log_requests,
        "log_key_file": _absolute(config.log_key_file),
        "impressions": _absolute(config.impressions),
        "impressions_mb": str(config.impressions_mb),
    }


def _absolute(path: str | None) -> str:
    """The models run in Triton's working directory, which need not stay this one."""
    return str(Path(path).absolute()) if path else ""


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


def run(
    config: DeployConfig,
    *,
    version: str | None = None,
    ports: Ports = DEFAULT_PORTS,
    announce: Callable[[str], None],
) -> None:
    """Serve in the foreground until Ctrl-C.

    Args:
        config: Registry, folders, environment.
        version: A version of the registry; none: the champion.
        ports: 0 takes a free port.
        announce: Shown a sentence when requests can be sent and when the server stops.

    Raises:
        ServerError: The server ended by itself; shows the end of its log.
    """
    announce("Starting tritonserver …")
    access = access_of(config)
    with champion_server(config, version=version, ports=ports, access=access) as server:
        where = server.ports
        announce(
            f"Serving {server.repository.name}: gRPC {HOST}:{where.grpc}, "
            f"HTTP {HOST}:{where.http}, metrics http://{HOST}:{where.metrics}/metrics. "
            f"Stop with Ctrl-C."
        )
        try:
            while server.running:
                time.sleep(0.2)
        except KeyboardInterrupt:
            announce("Stopping tritonserver …")
            return
        raise ServerError(f"tritonserver ended by itself. The end of its log:\n{server.tail()}")


def _champion(registry: Registry, config: DeployConfig) -> str:
    champion = registry.champion()
    if champion is None:
        raise DataError(
            f"The registry {config.registry} has no champion to serve. Run `counterpoint run "
            f"training` first, or name the registry (deploy.registry)."
        )
    return champion.version
