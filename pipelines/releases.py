"""One change of what serves: try the version, move the pointer, wait for the running server."""

from collections.abc import Callable

from rich.console import Console

from counterpoint.config import DeployConfig
from counterpoint.errors import CounterpointError, DataError, ServerError
from serving import deploy, running
from serving.controller import describe
from serving.pointers import Pointers
from serving.registry import Registry
from serving.serve import live_folder


def change(
    config: DeployConfig,
    move: Callable[[Registry], object],
    *,
    version: str | None = None,
    smoke: bool = True,
    console: Console,
) -> None:
    """Move a pointer, and report what answers now.

    Args:
        config: Registry, Triton environment, timeouts.
        move: Changes the registry.
        version: Version that gets a role; none: one loses its role.
        smoke: Try the version in a scratch server first.
        console: Is shown what happens.

    Raises:
        ConfigError: The change makes no sense; nothing was changed.
        QualityError: The smoke test failed; nothing was changed.
        ServerError: The running server could not follow.
    """
    registry = Registry(config.registry)
    if version is not None and smoke:
        found = registry.get(version)
        console.print(f"Trying {version} in a scratch server …")
        try:
            tried = deploy.try_out(config, registry, found)
        except CounterpointError as error:
            registry.refuse(version, why=str(error))
            raise
        console.print(f"It answers ({', '.join(tried.cases)}; {tried.milliseconds} ms).")
    move(registry)
    pointers = registry.pointers()
    if pointers is None:
        raise DataError(f"The registry {registry.root} has lost its champion meanwhile.")
    _report(config, pointers, version, console)


def _report(
    config: DeployConfig, pointers: Pointers, version: str | None, console: Console
) -> None:
    live = live_folder(config)
    console.print(f"The registry says: {wanted(pointers)}.", soft_wrap=True)
    followed = running.wait(live, pointers, timeout=config.start_timeout)
    if followed is None:
        console.print(f"No server runs on {live}; the next one starts with this.", soft_wrap=True)
        return
    fronts = [status for status in followed.statuses if status["model"] == "recommend"]
    now = "; ".join(sorted({describe(status) for status in fronts}))
    if version is not None and version in followed.errors:
        raise ServerError(
            f"The running server cannot load {version} and answers with {now}. Take the version "
            f"back with counterpoint models rollback, stop-canary, stop-shadow or unload. The "
            f"reason: {followed.errors[version]}"
        )
    console.print(
        f"The server now answers with {now}, after {followed.seconds:.1f} s.", soft_wrap=True
    )


def wanted(pointers: Pointers) -> str:
    """Say what should serve."""
    parts = [f"champion {pointers.champion}"]
    if pointers.canary:
        parts.append(f"canary {pointers.canary.version} for {pointers.canary.share:.1%} of users")
    if pointers.shadow:
        parts.append(f"shadow {pointers.shadow}")
    parts += [f"{version} loaded" for version in pointers.loaded]
    return ", ".join(parts)
