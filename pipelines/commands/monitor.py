"""``counterpoint monitor``: have the events drifted from what the champion knows?"""

from pathlib import Path
from typing import Annotated

import typer

from counterpoint.config import Config
from pipelines import options
from pipelines.teaching import TeachingCommand


def monitor(
    validated: Annotated[Path, typer.Option(help="Folder of canonical tables with new events.")],
    output: Annotated[Path, typer.Option(help="Folder of verdict and report.")],
    config: options.ConfigFiles = None,
    set_: options.Overrides = None,
) -> None:
    """Compare a window of events with the champion's reference; only looks, starts nothing.

    To look and retrain on drift, run the pipeline: counterpoint run monitoring.

    [bold]Example[/]

      counterpoint monitor --validated out/validated --output out/monitoring
    """
    watch(options.load(config, set_), validated, output)


def watch(settings: Config, validated: Path, output: Path) -> None:
    """Run the stage and print its verdict with the reasons."""
    from components.champion import champion_folder, need_champion
    from counterpoint.stages import monitor as stage

    with champion_folder(settings.deploy) as found:
        champion = need_champion(found)
        result = stage.run(
            settings.monitor,
            interactions=validated,
            reference=champion / "reference",
            model=champion / "model",
            monitoring=output,
        )
    options.out.print(f"Verdict: [bold]{result.verdict}[/]")
    for reason in result.reasons:
        options.out.print(f"- {reason}", markup=False)
    options.out.print(f"Report: {output / 'report.html'}")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(cls=TeachingCommand)(monitor)
