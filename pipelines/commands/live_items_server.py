"""``counterpoint live-items-server``: the live items of several machines, in the foreground."""

from pathlib import Path
from typing import Annotated

import typer

from pipelines import options
from pipelines.teaching import TeachingCommand


def live_items_server(
    file: Annotated[
        Path | None,
        typer.Option(help="File of the items; default: deploy.live_items."),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.")] = 6567,
    config: options.ConfigFiles = None,
    set_: options.Overrides = None,
) -> None:
    """Keep the items that are added, changed or removed for servers on several machines.

    Each of them reads a copy (its deploy.live_items) and goes on with it while this one is away.

    [bold]Examples[/]

      counterpoint live-items-server --file var/live/shared.sqlite

      counterpoint serve -s deploy.live_items_server=127.0.0.1:6567
    """
    from counterpoint.errors import ConfigError
    from serving.live_server import serve

    path = file or options.load(config, set_).deploy.live_items
    if path is None:
        raise ConfigError(["deploy.live_items is null: give --file, where the items are kept."])
    serve(Path(path), host=host, port=port, announce=options.out.print)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("live-items-server", cls=TeachingCommand)(live_items_server)
