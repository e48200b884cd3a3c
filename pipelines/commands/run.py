"""``counterpoint run``: run a pipeline on this machine."""

from enum import StrEnum
from typing import Annotated

import typer

from pipelines import options
from pipelines.teaching import TeachingCommand


class Pipeline(StrEnum):
    """Pipelines that can be run."""

    TRAINING = "training"
    MONITORING = "monitoring"


class Runner(StrEnum):
    """Runners of this machine."""

    LOCAL = "local"
    DOCKER = "docker"


def run(
    pipeline: Annotated[Pipeline, typer.Argument(help="Pipeline to run.")] = Pipeline.TRAINING,
    config: options.ConfigFiles = None,
    set_: options.Overrides = None,
    runner: Annotated[Runner, typer.Option(help="Subprocesses or our images.")] = Runner.LOCAL,
    runs_dir: options.RunsFolder = options.RUNS,
) -> None:
    """Run a pipeline on this machine and keep its record, log, artifacts and report.

    [bold]Examples[/]

      counterpoint run training

      counterpoint run training -c examples/own-data/config.yaml -s train.seed=1

      counterpoint run monitoring -s monitor.window_days=14
    """
    from pipelines.runners import run_local

    settings = options.load(config, set_)
    finished = run_local(
        pipeline, settings, root=runs_dir, console=options.out, runner=runner.value
    )
    options.out.print(finished.watcher.table(title=f"Run {finished.folder.name}"))
    tell_held(finished.held)
    options.out.print(f"Run report: {finished.folder / 'report.html'}")


def tell_held(reasons: list[str]) -> None:
    """Say why nothing was deployed, if the gate held the candidate."""
    if reasons:
        options.out.print("[yellow]The gate held the candidate; nothing was deployed:[/]")
    for reason in reasons:
        options.out.print(f"- {reason}", markup=False)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(cls=TeachingCommand)(run)
