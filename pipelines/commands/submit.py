"""``counterpoint submit``: start a pipeline on a Kubeflow cluster."""

from typing import Annotated

import typer

from pipelines import options
from pipelines.commands.run import Pipeline
from pipelines.teaching import TeachingCommand


def submit(
    pipeline: Annotated[Pipeline, typer.Argument(help="Pipeline to start.")],
    host: Annotated[str, typer.Option(help="URL of the Kubeflow Pipelines API.")],
    config: options.ConfigFiles = None,
    set_: options.Overrides = None,
    experiment: Annotated[str, typer.Option(help="Experiment of the run.")] = "counterpoint",
    namespace: Annotated[str, typer.Option(help="Namespace (multi-user Kubeflow).")] = "",
) -> None:
    """Start a pipeline on a Kubeflow cluster with the same definition as on the laptop.

    [bold]Example[/]

      counterpoint submit training --host http://localhost:8080
      -c k8s/overlays/prod/counterpoint.yaml -c my-data.yaml
    """
    from pipelines import runners

    settings = options.load(config, set_)
    run_id = runners.submit(
        pipeline, settings, host=host, experiment=experiment, namespace=namespace
    )
    options.out.print(f"Started {pipeline} as run {run_id} on {host}.")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(cls=TeachingCommand)(submit)
