"""A command line that imports a command's module when the command is asked for, not before.

A command that runs for milliseconds must not wait for the imports of those that train for minutes.
"""

from collections.abc import Iterator, MutableMapping
from importlib import import_module
from typing import Any, Final

import typer
from typer.core import TyperGroup

COMMANDS: Final = {
    "demo": "demo",
    "run": "run",
    "fit": "fit",
    "batch": "batch",
    "evaluate": "evaluate",
    "cross-validate": "cross_validate",
    "ablate": "ablate",
    "compress": "compress",
    "monitor": "monitor",
    "serve": "serve",
    "feature-server": "feature_server",
    "live-items-server": "live_items_server",
    "recommend": "recommend",
    "similar": "similar",
    "add-item": "live_items",
    "remove-item": "live_items",
    "push-event": "push_event",
    "explain": "explain",
    "certificates": "certificates",
    "compile": "compile",
    "submit": "submit",
}
"""Command -> its module in pipelines/commands, whose ``register`` adds it; in the help's order."""

GROUPS: Final = {
    "stage": "stage",
    "runs": "runs",
    "models": "models",
    "live-items": "live_items",
    "config": "config",
}
"""Group of commands -> its module in pipelines/commands, whose ``app`` it is."""


class LazyCommands(MutableMapping[str, Any]):
    """Command by name; a module is imported when its command is looked up."""

    def __init__(self) -> None:
        self._loaded: dict[str, Any] = dict.fromkeys((*COMMANDS, *GROUPS))

    def __getitem__(self, name: str) -> Any:
        if self._loaded[name] is None:
            self._loaded[name] = _load(name)
        return self._loaded[name]

    def __contains__(self, name: object) -> bool:
        return name in self._loaded

    def __setitem__(self, name: str, command: Any) -> None:
        self._loaded[name] = command

    def __delitem__(self, name: str) -> None:
        del self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._loaded)

    def __len__(self) -> int:
        return len(self._loaded)


class LazyGroup(TyperGroup):
    """The group of all commands; its help loads them all, a command only itself."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = LazyCommands()

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of all commands, groups last."""
        return list(self.commands)


def _load(name: str) -> Any:
    if name in GROUPS:
        found: Any = typer.main.get_group(import_module(f"pipelines.commands.{GROUPS[name]}").app)
    else:
        alone = typer.Typer(rich_markup_mode="rich", add_completion=False)
        # With a callback, Typer builds a group even of one command.
        alone.callback()(lambda: None)
        import_module(f"pipelines.commands.{COMMANDS[name]}").register(alone)
        found = typer.main.get_group(alone).commands[name]
    found.name = name
    return found
