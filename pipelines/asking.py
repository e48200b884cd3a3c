"""A client for one command: of a named server, or of one started for this call."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from counterpoint.config import Config
from pipelines import options

if TYPE_CHECKING:
    from serving.client import RecommendClient


@contextmanager
def client(url: str | None, settings: Config, *, timeout: float) -> Iterator["RecommendClient"]:
    """Give a connected client.

    Args:
        url: host:port of a server's gRPC; none: one with the champion is started and stopped.
        settings: Names the registry and the server's folders.
        timeout: Seconds for each answer.
    """
    from serving.client import RecommendClient
    from serving.serve import champion_server

    if url:
        with RecommendClient(url, timeout=timeout) as connected:
            yield connected
        return
    with options.err.status("Starting a server for this call (counterpoint serve keeps one) …"):
        server = champion_server(settings.deploy, log=Path(settings.deploy.triton) / "ask.log")
        server.__enter__()
    try:
        with RecommendClient(server.url, timeout=timeout) as connected:
            yield connected
    finally:
        server.stop()


def split(values: list[str] | None) -> list[str]:
    """Take lists given with commas, repeated, or both."""
    return [part.strip() for value in values or () for part in value.split(",") if part.strip()]
