"""Which versions a server answers with."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from serving.engine.version import EngineVersion
from serving.query import Query

Load = Callable[[Path, str, int], EngineVersion]
"""Loads the version in a folder, given its name and Triton's number."""


@dataclass(frozen=True)
class Served:
    """The versions of one moment."""

    champion: EngineVersion
    canary: EngineVersion | None = None
    shadow: EngineVersion | None = None

    def route(self, query: Query) -> EngineVersion:
        """Return the version that answers a query."""
        return self.champion


class Versions:
    """Serves the version whose files lie beside the front.

    Args:
        folder: Files of the version.
        version: Its name.
        number: Triton's number of it.
        load: Loads it.
    """

    def __init__(self, folder: Path, version: str, number: int, load: Load) -> None:
        self._served = Served(load(folder, version, number))

    def current(self) -> Served:
        """Return what serves now; a request keeps what it was given."""
        return self._served
