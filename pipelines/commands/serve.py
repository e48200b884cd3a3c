"""``counterpoint serve``: the champion on a local tritonserver."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines import options
from pipelines.teaching import TeachingCommand

if TYPE_CHECKING:
    from counterpoint.config import Config
    from counterpoint.config.serve import DeployConfig


def serve(
    grpc_port: Annotated[int, typer.Option(help="gRPC port; 0 takes a free one.")] = 8001,
    http_port: Annotated[int, typer.Option(help="HTTP port; 0 takes a free one.")] = 8000,
    metrics_port: Annotated[int, typer.Option(help="Metrics port; 0 takes a free one.")] = 8002,
    live: Annotated[
        bool,
        typer.Option(
            "--live", help="Start the feature server too: pushed events count in the next answer."
        ),
    ] = False,
    live_port: Annotated[
        int, typer.Option(help="Port of the feature server; 0 takes a free one.")
    ] = 6566,
    config: options.ConfigFiles = None,
    set_: options.Overrides = None,
) -> None:
    """Serve the champion over gRPC and HTTP on 127.0.0.1 until Ctrl-C.

    [bold]Examples[/]

      counterpoint serve

      counterpoint serve --live

      counterpoint serve --grpc-port 9001 --http-port 9000 --metrics-port 9002
    """
    from serving import serve as serving
    from serving.server import Ports

    settings = options.load(config, set_)
    ports = Ports(grpc=grpc_port, http=http_port, metrics=metrics_port)
    with contextlib.ExitStack() as beside:
        deploy = settings.deploy
        if live:
            deploy = beside.enter_context(_live(settings, live_port))
        serving.run(deploy, ports=ports, announce=options.out.print)


@contextlib.contextmanager
def _live(settings: Config, port: int) -> Iterator[DeployConfig]:
    """Keep a feature server, and give the settings of a server that asks it."""
    from serving.feature_process import FeatureServerProcess

    log = Path(settings.deploy.triton) / "feature-server.log"
    options.out.print("Starting the feature server …")
    with FeatureServerProcess(Path(settings.features.state), port=port, log=log) as server:
        options.out.print(
            f"Feature server http://{server.address}; push events with `counterpoint push-event "
            f"--url http://{server.address}`.",
            highlight=False,
        )
        yield settings.deploy.model_copy(update={"feature_server": server.address})


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(cls=TeachingCommand)(serve)
