"""The feature server as a process: its socket, event loop and end."""

import asyncio
import gc
import logging
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from counterpoint.errors import SetupError

HOST: Final = "127.0.0.1"
PORT: Final = 6566
"""Feast's usual port."""

GRACE_SECONDS: Final = 5
KEEP_ALIVE_SECONDS: Final = 600
"""The front keeps its connections; making one anew costs it a millisecond."""

_SWITCH_SECONDS: Final = 0.0005
"""How long a push in its thread may hold up lookups; Python's default is ten times that."""


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
    listener = _listen(host, port)
    # Feast takes seconds to import; a taken port is told at once.
    import uvicorn

    from feature_repo.server.app import App
    from feature_repo.server.following import Following

    following = Following(state)
    config = uvicorn.Config(
        App(following),
        lifespan="off",
        access_log=False,
        log_config=None,
        log_level=logging.WARNING,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
        server_header=False,
        date_header=False,
    )
    server = uvicorn.Server(config)
    sys.setswitchinterval(_SWITCH_SECONDS)
    # uvicorn raises the signal that ended it once more: here an end that was asked for is no fault.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)

    async def until_stopped() -> None:
        await following.start()
        try:
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            while not server.started and not serving.done():
                await asyncio.sleep(0.01)
            # What was imported stays: a collection over it would hold up requests for 50 ms.
            gc.collect()
            gc.freeze()
            address, taken = listener.getsockname()[:2]
            announce(f"Feature server of {state} at http://{address}:{taken}. Stop with Ctrl-C.")
            await serving
        finally:
            await following.stop()

    try:
        with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
            runner.run(until_stopped())
    except KeyboardInterrupt:
        pass
    finally:
        listener.close()
    announce("Feature server stopped.")


def _listen(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Accepted connections inherit it: small answers are sent at once.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        listener.bind((host, port))
    except (OSError, OverflowError) as error:
        listener.close()
        raise SetupError(
            f"The feature server cannot listen on port {port} of {host}: {error}. Stop the program "
            f"that uses it, or choose another port (0 takes a free one)."
        ) from error
    listener.set_inheritable(True)
    return listener
