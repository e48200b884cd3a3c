"""``counterpoint cross-validate``: is the advantage there in every time window?"""

from pathlib import Path
from typing import Annotated

import typer

from components.publish import speak
from counterpoint.config import Config
from pipelines import options
from pipelines.teaching import TeachingCommand


def cross_validate(
    output: Annotated[Path, typer.Option(help="Folder of the table and of finished runs.")] = Path(
        "var/cross-validation"
    ),
    data: Annotated[
        Path | None,
        typer.Option(help="Folder of canonical tables; default: the configured source."),
    ] = None,
    windows: Annotated[int, typer.Option(min=1, help="Consecutive test windows.")] = 3,
    seeds: Annotated[int, typer.Option(min=1, help="Training seeds, counted from 0.")] = 1,
    tune: Annotated[
        bool, typer.Option(help="Tune the closed-form baselines on each validation window.")
    ] = True,
    config: options.ConfigFiles = None,
    set_: options.Overrides = None,
) -> None:
    """Train and judge model and baselines on consecutive time windows; print one table.

    Each window holds features.split.test_fraction of all events; nothing later is known to it.
    Finished runs are kept: the same command continues where it was.

    [bold]Examples[/]

      counterpoint cross-validate --windows 3 --seeds 2

      counterpoint cross-validate --data out/validated -s features.split.test_fraction=0.05
    """
    speak("")
    run(options.load(config, set_), output, data, windows, seeds, tune)


def run(
    settings: Config,
    output: Path,
    data: Path | None,
    windows: int,
    seeds: int,
    tune: bool,
) -> None:
    """Read the data, run the windows and print their table."""
    from rich.markdown import Markdown

    from counterpoint import cross_validation, trial_data
    from counterpoint.isolation import isolated

    folder = data or isolated(trial_data.read_source, settings, output / "data")
    content = cross_validation.run(
        settings,
        folder,
        windows=windows,
        seeds=range(seeds),
        output=output,
        scope="closed_form" if tune else "none",
    )
    options.out.print(Markdown(cross_validation.markdown(content)))
    options.out.print(f"Table: {output / cross_validation.TABLE}")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("cross-validate", cls=TeachingCommand)(cross_validate)
