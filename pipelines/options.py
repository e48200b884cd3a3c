"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

if TYPE_CHECKING:
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
    # Imported here: commands without a configuration start faster.
    from counterpoint import config as configuration

    return configuration.load(files or (), overrides or ())
