"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from counterpoint import config as configuration
from counterpoint.config import Config

out = Console()
err = Console(stderr=True)

ConfigFiles = Annotated[
    list[Path] | None,
    typer.Option("--config", "-c", help="YAML file of the configuration; may be repeated."),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set", "-s", help="One value, as section.key=value; may be repeated. Wins over files."
    ),
]
RunsFolder = Annotated[Path, typer.Option("--runs-dir", help="Folder of the run records.")]
RUNS = Path("var/runs")


def load(files: list[Path] | None, overrides: list[str] | None) -> Config:
    """Build the configuration of a command."""
    return configuration.load(files or (), overrides or ())
