"""The feature server as a process."""

import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final

from counterpoint import asgi

HOST: Final = asgi.HOST
PORT: Final = 6566
"""Feast's usual port."""


def quiet() -> None:
    """Log what the feature server says, and of others only what is wrong."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("feature_repo").setLevel(logging.INFO)
    # Feast warns of a server without log-in: the network decides who may ask.
    logging.getLogger("feast.permissions.server.utils").setLevel(logging.ERROR)


def serve(state: Path, *, host: str, port: int, announce: Callable[[str], object]) -> None:
    """Serve the features of a state folder until SIGTERM or Ctrl-C.

    Args:
        state: ``features.state``: the folder that holds the link ``current``.
        host: Address to listen on.
        port: 0 takes a free one.
        announce: Shown a sentence when requests can be sent and when the server stops.

    Raises:
        SetupError: Nothing was published, a store's package is missing, or the port is taken.
        ConfigError: The published ``feature_store.yaml`` is no Feast configuration.
    """

    def make() -> asgi.Opened:
        # Feast takes seconds to import; a taken port is told at once.
        from feature_repo.server.app import App
        from feature_repo.server.following import Following

        following = Following(state)

        @contextlib.asynccontextmanager
        async def started() -> AsyncIterator[None]:
            await following.start()
            try:
                yield
            finally:
                await following.stop()

        return App(following), started()

    asgi.serve("feature server", make, host=host, port=port, announce=announce, what=f"of {state}")
