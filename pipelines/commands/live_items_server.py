"""``counterpoint live-items-server``: the live items of several machines, in the foreground."""

from pathlib import Path
from typing import Annotated

import typer

from pipelines import options
from pipelines.teaching import TeachingCommand


def live_items_server(
    file: Annotated[
        Path,
        typer.Option(help="File that keeps the items; no server may have it as its copy."),
    ] = Path("var/live/shared.sqlite"),
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.")] = 6567,
) -> None:
    """Keep the items that are added, changed or removed for servers on several machines.

    Each of them reads a copy (its deploy.live_items) and goes on with it while this one is away.

    [bold]Examples[/]

      counterpoint live-items-server

      counterpoint serve -s deploy.live_items_server=127.0.0.1:6567
    """
    from serving.live_server import serve

    serve(file, host=host, port=port, announce=options.out.print)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("live-items-server", cls=TeachingCommand)(live_items_server)
