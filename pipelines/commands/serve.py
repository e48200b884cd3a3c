"""``counterpoint serve``: the champion on a local tritonserver."""

from typing import Annotated

import typer

from pipelines import options
from pipelines.teaching import TeachingCommand


def serve(
    grpc_port: Annotated[int, typer.Option(help="gRPC port; 0 takes a free one.")] = 8001,
    http_port: Annotated[int, typer.Option(help="HTTP port; 0 takes a free one.")] = 8000,
    metrics_port: Annotated[int, typer.Option(help="Metrics port; 0 takes a free one.")] = 8002,
    config: options.ConfigFiles = None,
    set_: options.Overrides = None,
) -> None:
    """Serve the champion over gRPC and HTTP on 127.0.0.1 until Ctrl-C.

    [bold]Examples[/]

      counterpoint serve

      counterpoint serve --grpc-port 9001 --http-port 9000 --metrics-port 9002
    """
    from serving import serve as serving
    from serving.server import Ports

    ports = Ports(grpc=grpc_port, http=http_port, metrics=metrics_port)
    serving.run(options.load(config, set_).deploy, ports=ports, announce=options.out.print)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(cls=TeachingCommand)(serve)
