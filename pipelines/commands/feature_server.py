"""``counterpoint feature-server``: the feature server in the foreground."""

from pathlib import Path
from typing import Annotated

import typer

from pipelines import options
from pipelines.teaching import TeachingCommand


def feature_server(
    state: Annotated[
        Path | None,
        typer.Option(help="Folder of the feature store; default: features.state (var/feast)."),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.")] = 6566,
    config: options.ConfigFiles = None,
    set_: options.Overrides = None,
) -> None:
    """Serve users' histories and attributes, and take events, until Ctrl-C.

    It follows the feature store: a new data version is served without a restart.

    [bold]Examples[/]

      counterpoint feature-server

      counterpoint feature-server --state var/feast --port 6566

      counterpoint serve -s deploy.feature_server=127.0.0.1:6566
    """
    from feature_repo.server.process import quiet, serve

    folder = state or Path(options.load(config, set_).features.state)
    quiet()
    serve(folder, host=host, port=port, announce=options.out.print)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("feature-server", cls=TeachingCommand)(feature_server)
