"""``counterpoint models``: the versions in the registry."""

from typing import Annotated

import typer
from rich.table import Table

from pipelines import options
from pipelines.teaching import TeachingCommand

app = typer.Typer(help="Versions in the registry.", no_args_is_help=True)


@app.command("list", cls=TeachingCommand)
def list_(config: options.ConfigFiles = None, set_: options.Overrides = None) -> None:
    """List the versions, newest last, and which one serves.

    [bold]Example[/]

      counterpoint models list
    """
    from serving.registry import Registry

    path = options.load(config, set_).deploy.registry
    registry = Registry(path)
    table = Table("number", "version", "status", "created")
    versions = registry.versions()
    for version in versions:
        status = registry.status(version.version)
        table.add_row(str(version.number), version.version, status, version.created)
    options.out.print(
        table if versions else f"No versions yet in {path}; run 'counterpoint run training'."
    )


@app.command(cls=TeachingCommand)
def show(
    version: Annotated[str, typer.Argument(help="Version, or 'champion'.")] = "champion",
    config: options.ConfigFiles = None,
    set_: options.Overrides = None,
) -> None:
    """Show a version: what it was made from, its figures and its history.

    [bold]Example[/]

      counterpoint models show champion
    """
    from counterpoint.errors import ConfigError
    from serving.registry import Registry

    path = options.load(config, set_).deploy.registry
    registry = Registry(path)
    found = registry.champion() if version == "champion" else registry.get(version)
    if found is None:
        raise ConfigError([f"{path} has no champion yet. Run 'counterpoint run training' first."])
    options.out.print(f"[bold]{found.version}[/] ({registry.status(found.version)})")
    options.out.print_json(data=found.details, default=str)
    table = Table("when", "who", "action", "why", title="audit", title_justify="left")
    for entry in registry.audit():
        if entry["version"] == found.version:
            table.add_row(entry["when"], entry["who"], entry["action"], entry["why"])
    options.out.print(table)


@app.command(cls=TeachingCommand)
def rollback(
    version: Annotated[
        str | None, typer.Argument(help="Version; without it the champion before this one.")
    ] = None,
    why: Annotated[str, typer.Option(help="Reason, for the audit log.")] = "by hand",
    config: options.ConfigFiles = None,
    set_: options.Overrides = None,
) -> None:
    """Put a former version back into service.

    [bold]Example[/]

      counterpoint models rollback --why "complaints about duplicates"
    """
    from serving.registry import Registry

    registry = Registry(options.load(config, set_).deploy.registry)
    target = registry.rollback(version, why=why)
    options.out.print(f"Champion is now {target.version}.")
