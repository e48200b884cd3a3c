"""``counterpoint models``: the versions in the registry, and which of them serve."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from pipelines import options
from pipelines.teaching import TeachingCommand

if TYPE_CHECKING:
    from serving.registry import Registry

HELP = """Versions in the registry, and which of them serve.

[bold]A careful release[/]

  counterpoint models list                              what there is

  counterpoint models shadow VERSION                    it answers copies, only the log shows it

  counterpoint models canary VERSION --share 0.05       it answers one user in twenty

  counterpoint models canary VERSION --share 0.5        more users; those it had stay with it

  counterpoint models promote VERSION                   it answers everybody

  counterpoint models rollback                          back to the champion before

A running `counterpoint serve` follows at once and loses no request; the command waits for it and
reports. Every change is in the audit log (models show VERSION).
"""

app = typer.Typer(help=HELP, no_args_is_help=True, rich_markup_mode="rich")

VersionName = Annotated[str, typer.Argument(help="Version (see models list).")]
Why = Annotated[str, typer.Option(help="Reason, for the audit log.")]
Smoke = Annotated[
    bool, typer.Option("--smoke/--no-smoke", help="Try the version in a scratch server first.")
]


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
def load(
    version: VersionName,
    why: Why = "by hand",
    smoke: Smoke = True,
    config: options.ConfigFiles = None,
    set_: options.Overrides = None,
) -> None:
    """Load a version without a role, so that a later promote or canary is instant.

    [bold]Example[/]

      counterpoint models load 20261122T070054Z-2c37aa01
    """
    _change(config, set_, lambda r: r.load(version, why=why), version, smoke)


@app.command(cls=TeachingCommand)
def unload(
    version: VersionName,
    why: Why = "by hand",
    config: options.ConfigFiles = None,
    set_: options.Overrides = None,
) -> None:
    """Free the memory of a loaded version that has no role.

    [bold]Example[/]

      counterpoint models unload 20261122T070054Z-2c37aa01
    """
    _change(config, set_, lambda r: r.unload(version, why=why))


@app.command(cls=TeachingCommand)
def shadow(
    version: VersionName,
    why: Why = "by hand",
    smoke: Smoke = True,
    config: options.ConfigFiles = None,
    set_: options.Overrides = None,
) -> None:
    """Have a version answer copies of the requests; nobody sees its answers, the log compares them.

    [bold]Example[/]

      counterpoint models shadow 20261122T070054Z-2c37aa01 --why "new encoder"
    """
    _change(config, set_, lambda r: r.shadow(version, why=why), version, smoke)


@app.command(cls=TeachingCommand)
def canary(
    version: VersionName,
    share: Annotated[float, typer.Option(help="Share of the users, above 0 and at most 1.")],
    why: Why = "by hand",
    smoke: Smoke = True,
    config: options.ConfigFiles = None,
    set_: options.Overrides = None,
) -> None:
    """Have a version answer a share of the users. Each user stays with one version.

    A larger share of the same version keeps the users that it has.

    [bold]Examples[/]

      counterpoint models canary 20261122T070054Z-2c37aa01 --share 0.05

      counterpoint models canary 20261122T070054Z-2c37aa01 --share 0.5 --no-smoke
    """
    _change(config, set_, lambda r: r.canary(version, share, why=why), version, smoke)


@app.command(cls=TeachingCommand)
def promote(
    version: VersionName,
    why: Why = "by hand",
    smoke: Smoke = True,
    config: options.ConfigFiles = None,
    set_: options.Overrides = None,
) -> None:
    """Make a version the champion; its canary or shadow ends.

    [bold]Example[/]

      counterpoint models promote 20261122T070054Z-2c37aa01 --why "canary without complaints"
    """
    _change(config, set_, lambda r: r.promote(version, why=why), version, smoke)


@app.command(cls=TeachingCommand)
def rollback(
    version: Annotated[
        str | None, typer.Argument(help="Version; without it the champion before this one.")
    ] = None,
    why: Why = "by hand",
    smoke: Smoke = False,
    config: options.ConfigFiles = None,
    set_: options.Overrides = None,
) -> None:
    """Put a former version back into service. It has served before, so it is not tried again.

    [bold]Example[/]

      counterpoint models rollback --why "complaints about duplicates"
    """
    from serving.registry import Registry

    registry = Registry(options.load(config, set_).deploy.registry)
    target = version or registry.former()
    _change(config, set_, lambda r: r.rollback(target, why=why), target, smoke)


@app.command("stop-canary", cls=TeachingCommand)
def stop_canary(
    why: Why = "by hand",
    config: options.ConfigFiles = None,
    set_: options.Overrides = None,
) -> None:
    """End the canary: the champion answers everybody.

    [bold]Example[/]

      counterpoint models stop-canary --why "slower than the champion"
    """
    _change(config, set_, lambda r: r.end_canary(why=why))


@app.command("stop-shadow", cls=TeachingCommand)
def stop_shadow(
    why: Why = "by hand",
    config: options.ConfigFiles = None,
    set_: options.Overrides = None,
) -> None:
    """End the shadow.

    [bold]Example[/]

      counterpoint models stop-shadow
    """
    _change(config, set_, lambda r: r.end_shadow(why=why))


def _change(
    config: list[Path] | None,
    set_: list[str] | None,
    move: Callable[["Registry"], object],
    version: str | None = None,
    smoke: bool = False,
) -> None:
    from pipelines import releases

    deploy = options.load(config, set_).deploy
    releases.change(deploy, move, version=version, smoke=smoke, console=options.out)
