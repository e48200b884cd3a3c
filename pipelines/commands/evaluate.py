"""``counterpoint evaluate``: measure a model against baselines and the champion."""

from pathlib import Path
from typing import Annotated

import typer

from counterpoint.config import Config
from pipelines import options
from pipelines.teaching import TeachingCommand


def evaluate(
    features: Annotated[Path, typer.Option(help="Folder of the features stage.")],
    model: Annotated[Path, typer.Option(help="Model folder.")],
    output: Annotated[Path, typer.Option(help="Folder of the result.")],
    champion: Annotated[
        Path | None, typer.Option(help="Model folder to compare with; default: the registry's.")
    ] = None,
    config: options.ConfigFiles = None,
    set_: options.Overrides = None,
) -> None:
    """Measure a model on the test fold beside the baselines, with confidence intervals.

    [bold]Example[/]

      counterpoint evaluate --features out/features --model out/model --output out/evaluation
    """
    evaluate_model(options.load(config, set_), features, model, output, champion)


def evaluate_model(
    settings: Config, features: Path, model: Path, output: Path, champion: Path | None
) -> None:
    """Run the stage and print its comparison."""
    from rich.markdown import Markdown

    from components.champion import champion_folder
    from counterpoint.stages import evaluate as stage

    with champion_folder(settings.deploy) as serving:
        found = champion or (serving / "model" if serving else None)
        result = stage.run(
            settings.evaluate, features=features, model=model, evaluation=output, champion=found
        )
    options.out.print(Markdown(result.notes))
    options.out.print(f"Report: {output / 'report.html'}")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(cls=TeachingCommand)(evaluate)
