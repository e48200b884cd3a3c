"""``counterpoint compile``: write Kubeflow-ready YAML."""

from pathlib import Path
from typing import Annotated

import typer

from counterpoint.config import Config
from pipelines import options
from pipelines.teaching import TeachingCommand


def compile_pipelines(
    output: Annotated[Path, typer.Option(help="Folder of the YAML files.")] = Path(
        "build/pipelines"
    ),
    config: options.ConfigFiles = None,
    set_: options.Overrides = None,
) -> None:
    """Compile every pipeline to YAML that Kubeflow Pipelines takes.

    Images, resources, GPU nodes, retries and caching come from the section ``cluster``.

    [bold]Example[/]

      counterpoint compile -c k8s/overlays/prod/counterpoint.yaml --output build/pipelines
    """
    settings = options.load(config, set_)
    for path in compile_all(settings, output):
        options.out.print(f"Wrote {path}")


def compile_all(settings: Config, output: Path) -> list[Path]:
    """Compile all pipelines into a folder; return the files."""
    import warnings

    from kfp import compiler

    from pipelines import catalogue
    from pipelines.live_source import with_live_items

    settings = with_live_items(settings)
    output.mkdir(parents=True, exist_ok=True)
    paths = []
    for name in catalogue.PIPELINES:
        path = output / f"{name}.yaml"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compiler.Compiler().compile(catalogue.build(name, settings), str(path))
        paths.append(path)
    return paths


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("compile", cls=TeachingCommand)(compile_pipelines)
