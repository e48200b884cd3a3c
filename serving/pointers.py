"""Which versions serve: the champion, a canary for some users, a shadow that is only logged.

::

    champion.json   {"version": …, "former": […]}
    canary.json     {"version": …, "share": …, "salt": …}     absent: no canary
    shadow.json     {"version": …}                            absent: no shadow
    loaded.json     {"versions": […]}                         held in memory, ready to be promoted

Each file is replaced in one step. A version that is champion cannot be canary or shadow: where a
kill has left both, the champion counts (``Pointers`` are read that way), so every state between
two steps is a sound one.
"""

import json
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

from counterpoint.errors import DataError
from serving.storage import Storage

CHAMPION = "champion.json"
CANARY = "canary.json"
SHADOW = "shadow.json"
LOADED = "loaded.json"

T = TypeVar("T")


@dataclass(frozen=True)
class Canary:
    """A version that answers a share of the users.

    Attributes:
        version: Name of the version.
        share: Share of the users, above 0 and at most 1.
        salt: Chooses which users; kept while the share of one version changes.
    """

    version: str
    share: float
    salt: str


@dataclass(frozen=True)
class Pointers:
    """What a server should serve.

    Attributes:
        champion: Version of the champion.
        canary: Another version for a share of the users, or none.
        shadow: A version that answers copies of the requests, only to be logged, or none.
        loaded: Versions to hold in memory without a role, so that a later swap is instant.
        faults: What is wrong with pointer files that were left out.
    """

    champion: str
    canary: Canary | None = None
    shadow: str | None = None
    loaded: tuple[str, ...] = ()
    faults: tuple[str, ...] = field(default=(), compare=False)

    @property
    def versions(self) -> list[str]:
        """The versions, each once, the champion first."""
        canary = self.canary.version if self.canary else None
        named = [self.champion, canary, self.shadow, *self.loaded]
        return list(dict.fromkeys(name for name in named if name))

    def text(self) -> str:
        """Return them as one line: the champion's name alone, or JSON when there is more."""
        if self.versions == [self.champion]:
            return self.champion
        shown = asdict(self)
        del shown["faults"]
        return json.dumps(shown, sort_keys=True)

    def without(self, versions: Collection[str], *, fallback: str | None) -> "Pointers":
        """Return the pointers with some versions left out.

        Args:
            versions: Versions that cannot serve.
            fallback: The champion in place of one that cannot; none: it stays.
        """
        replaced = self.champion in versions and fallback is not None
        champion = fallback if replaced and fallback else self.champion
        out = {*versions, champion}
        return Pointers(
            champion,
            self.canary if self.canary and self.canary.version not in out else None,
            self.shadow if self.shadow not in out else None,
            tuple(version for version in self.loaded if version not in out),
        )

    @classmethod
    def parse(cls, text: str) -> "Pointers":
        """Read what ``text`` wrote.

        Raises:
            DataError: The line is damaged.
        """
        if not text.startswith("{"):
            return cls(text)
        try:
            found = json.loads(text)
            canary = found.get("canary")
            return cls(
                champion=str(found["champion"]),
                canary=_canary(canary) if canary else None,
                shadow=found.get("shadow"),
                loaded=tuple(found.get("loaded", ())),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"{text!r} does not say which versions to serve ({error!r}). Give the name of a "
                f"version, or JSON as serving.rollout writes it."
            ) from error


class PointerFiles:
    """Reads and replaces the pointer files of a registry.

    Args:
        storage: The registry's file system.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def champion(self) -> tuple[str, list[str]] | None:
        """Return the champion and the champions before it, oldest first.

        Raises:
            DataError: The file is damaged.
        """
        found = self._read(CHAMPION, "promote a version again")
        if found is None:
            return None
        try:
            return str(found["version"]), [str(name) for name in found["former"]]
        except (KeyError, TypeError) as error:
            raise self._damaged(CHAMPION, error, "promote a version again") from error

    def canary(self) -> Canary | None:
        """Return the canary.

        Raises:
            DataError: The file is damaged.
        """
        found = self._read(CANARY, "start the canary again")
        try:
            return None if found is None else _canary(found)
        except (KeyError, TypeError, ValueError) as error:
            raise self._damaged(CANARY, error, "start the canary again") from error

    def shadow(self) -> str | None:
        """Return the shadow's version.

        Raises:
            DataError: The file is damaged.
        """
        found = self._read(SHADOW, "start the shadow again")
        try:
            return None if found is None else str(found["version"])
        except (KeyError, TypeError) as error:
            raise self._damaged(SHADOW, error, "start the shadow again") from error

    def loaded(self) -> list[str]:
        """Return the versions to hold in memory.

        Raises:
            DataError: The file is damaged.
        """
        found = self._read(LOADED, "load the versions again")
        try:
            return [] if found is None else [str(name) for name in found["versions"]]
        except (KeyError, TypeError) as error:
            raise self._damaged(LOADED, error, "load the versions again") from error

    def all(self) -> Pointers | None:
        """Return all pointers, or nothing while there is no champion.

        Another damaged file is left out and named in ``faults``: it must not keep a new champion
        from its service.

        Raises:
            DataError: The champion's file is damaged.
        """
        pointed = self.champion()
        if pointed is None:
            return None
        champion = pointed[0]
        faults: list[str] = []
        canary = _unless_damaged(self.canary, faults)
        shadow = _unless_damaged(self.shadow, faults)
        return Pointers(
            champion,
            canary if canary and canary.version != champion else None,
            shadow if shadow != champion else None,
            tuple(name for name in _unless_damaged(self.loaded, faults) or () if name != champion),
            tuple(faults),
        )

    def set_champion(self, version: str, former: list[str]) -> None:
        """Point at a champion; other roles of that version end."""
        self._write(CHAMPION, {"version": version, "former": former})
        # A damaged file stays as it is: it names no version, and must not stop a rollback.
        with suppress(DataError):
            canary = self.canary()
            if canary and canary.version == version:
                self._storage.remove(CANARY)
        with suppress(DataError):
            if self.shadow() == version:
                self._storage.remove(SHADOW)
        with suppress(DataError):
            if version in self.loaded():
                self.set_loaded([name for name in self.loaded() if name != version])

    def set_canary(self, canary: Canary | None) -> None:
        """Replace or end the canary."""
        if canary is None:
            self._storage.remove(CANARY)
        else:
            self._write(CANARY, asdict(canary))

    def set_shadow(self, version: str | None) -> None:
        """Replace or end the shadow."""
        if version is None:
            self._storage.remove(SHADOW)
        else:
            self._write(SHADOW, {"version": version})

    def set_loaded(self, versions: list[str]) -> None:
        """Replace the versions to hold in memory."""
        if versions:
            self._write(LOADED, {"versions": versions})
        else:
            self._storage.remove(LOADED)

    def _write(self, name: str, content: Mapping[str, Any]) -> None:
        self._storage.replace(name, json.dumps(content, indent=2).encode())

    def _read(self, name: str, mend: str) -> Any:
        content = self._storage.read(name)
        if content is None:
            return None
        try:
            return json.loads(content)
        except ValueError as error:
            raise self._damaged(name, error, mend) from error

    def _damaged(self, name: str, error: Exception, mend: str) -> DataError:
        return DataError(
            f"{self._storage.root}/{name} is damaged ({error!r}). Delete it and {mend}; "
            f"audit.jsonl names the last one."
        )


def _unless_damaged(read: Callable[[], T], faults: list[str]) -> T | None:
    try:
        return read()
    except DataError as error:
        faults.append(str(error))
        return None


def _canary(found: Mapping[str, Any]) -> Canary:
    canary = Canary(str(found["version"]), float(found["share"]), str(found["salt"]))
    if not 0 < canary.share <= 1:
        raise ValueError(f"share {canary.share:g} is not above 0 and at most 1")
    return canary
