"""Extension points: the module name is the key, so a new plugin is one new file."""

import importlib
import pkgutil
from types import ModuleType

from counterpoint.errors import ConfigError


def names(package: str) -> list[str]:
    """Return the plugin names of an extension package such as ``counterpoint.objectives``.

    Modules whose name starts with an underscore are helpers, not plugins.
    """
    paths = importlib.import_module(package).__path__
    return sorted(m.name for m in pkgutil.iter_modules(paths) if not m.name.startswith("_"))


def load(package: str, name: str) -> ModuleType:
    """Import one plugin module.

    Raises:
        ConfigError: The name is unknown; the message lists the known ones and the file to create.
    """
    known = names(package)
    if name not in known:
        kind = package.rpartition(".")[2]
        raise ConfigError(
            [
                f"Unknown {kind} plugin {name!r}. Known: {', '.join(known)}. "
                f"To add one, create {package.replace('.', '/')}/{name}.py."
            ]
        )
    return importlib.import_module(f"{package}.{name}")
