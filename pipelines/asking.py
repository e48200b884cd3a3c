"""A client for one command: of a named server, or of one started for this call."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from counterpoint.config import Config
from counterpoint.errors import ConfigError
from pipelines import options

if TYPE_CHECKING:
    from serving.client import RecommendClient
    from serving.credentials import Credentials

CredentialsFolder = Annotated[
    Path | None,
    typer.Option(
        "--credentials", help="Folder of `counterpoint certificates`, for a server with TLS."
    ),
]


@contextmanager
def client(
    url: str | None, settings: Config, *, timeout: float, credentials: Path | None = None
) -> Iterator["RecommendClient"]:
    """Give a connected client.

    Args:
        url: host:port of a server's gRPC; none: one with the champion is started and stopped.
        settings: Names the registry and the server's folders.
        timeout: Seconds for each answer.
        credentials: Folder with what the named server asks for.

    Raises:
        ConfigError: There are credentials, but no server to show them to.
        SetupError: The folder lacks a file.
    """
    from serving.client import RecommendClient
    from serving.serve import champion_server

    if url:
        with RecommendClient(url, timeout=timeout, credentials=shown(credentials)) as connected:
            yield connected
        return
    if credentials is not None:
        raise ConfigError(
            [f"--credentials {credentials} is for a server: name it too, with --url host:port."]
        )
    with options.err.status("Starting a server for this call (counterpoint serve keeps one) …"):
        server = champion_server(settings.deploy, log=Path(settings.deploy.triton) / "ask.log")
        server.__enter__()
    try:
        with RecommendClient(server.url, timeout=timeout) as connected:
            yield connected
    finally:
        server.stop()


def shown(folder: Path | None) -> "Credentials":
    """Return the credentials of a folder; of no folder, none.

    Raises:
        SetupError: The folder lacks a file.
    """
    from serving.credentials import NO_CREDENTIALS, Credentials

    return NO_CREDENTIALS if folder is None else Credentials.of_folder(folder)


def split(values: list[str] | None) -> list[str]:
    """Take lists given with commas, repeated, or both."""
    return [part.strip() for value in values or () for part in value.split(",") if part.strip()]
