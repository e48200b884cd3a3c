"""A small HTTP server as a process: its socket, event loop and end."""

import asyncio
import contextlib
import gc
import json
import logging
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Final

from counterpoint.errors import SetupError

HOST: Final = "127.0.0.1"
GRACE_SECONDS: Final = 5
KEEP_ALIVE_SECONDS: Final = 600
"""Callers keep their connections; making one anew costs them a millisecond."""

_SWITCH_SECONDS: Final = 0.0005
"""How long a thread may hold up answers; Python's default is ten times that."""

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Answer = tuple[int, Any]
"""HTTP status, and the body as JSON values."""

Opened = tuple[Any, contextlib.AbstractAsyncContextManager[object]]
"""An ASGI application, and what must be entered while it answers."""


def serve(
    name: str,
    make: Callable[[], Opened],
    *,
    host: str,
    port: int,
    announce: Callable[[str], object],
    what: str = "",
) -> None:
    """Answer requests until SIGTERM or Ctrl-C.

    Args:
        name: What is served, such as ``feature server``.
        make: Makes the application; called when the port is ours, for it may take long.
        host: Address to listen on.
        port: 0 takes a free one.
        announce: Shown a sentence when requests can be sent and when the server stops.
        what: Stands behind the name in these sentences.

    Raises:
        SetupError: The port is taken.
    """
    listener = _listen(name, host, port)
    import uvicorn

    title = name.capitalize()
    try:
        app, context = make()
        config = uvicorn.Config(
            app,
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
        # uvicorn raises the signal that ended it once more: an end that was asked for is no fault.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)

        async def until_stopped() -> None:
            async with context:
                serving = asyncio.create_task(server.serve(sockets=[listener]))
                while not server.started and not serving.done():
                    await asyncio.sleep(0.01)
                # What was imported stays: a collection over it would hold up requests for 50 ms.
                gc.collect()
                gc.freeze()
                address, taken = listener.getsockname()[:2]
                shown = " ".join(part for part in (title, what) if part)
                announce(f"{shown} at http://{address}:{taken}. Stop with Ctrl-C.")
                await serving

        with (
            contextlib.suppress(KeyboardInterrupt),
            asyncio.Runner(loop_factory=config.get_loop_factory()) as runner,
        ):
            runner.run(until_stopped())
    finally:
        listener.close()
    announce(f"{title} stopped.")


async def answer(send: Send, status: int, content: Any) -> None:
    """Send a JSON answer."""
    body = json.dumps(content, separators=(",", ":")).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _listen(name: str, host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Accepted connections inherit it: small answers are sent at once.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        listener.bind((host, port))
    except (OSError, OverflowError) as error:
        listener.close()
        raise SetupError(
            f"The {name} cannot listen on port {port} of {host}: {error}. Stop the program that "
            f"uses it, or choose another port (0 takes a free one)."
        ) from error
    listener.set_inheritable(True)
    return listener
