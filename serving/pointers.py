"""Which versions serve: the champion, a canary for some users, a shadow that is only logged.

::

    champion.json   {"version": …, "former": […]}
    canary.json     {"version": …, "share": …, "salt": …}     absent: no canary
    shadow.json     {"version": …}                            absent: no shadow

Each file is replaced in one step. A version that is champion cannot be canary or shadow: where a
kill has left both, the champion counts (``Pointers`` are read that way), so every state between
two steps is a sound one.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any

from counterpoint.errors import DataError
from serving.storage import Storage

CHAMPION = "champion.json"
CANARY = "canary.json"
SHADOW = "shadow.json"


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
        faults: What is wrong with pointer files that were left out.
    """

    champion: str
    canary: Canary | None = None
    shadow: str | None = None
    faults: tuple[str, ...] = field(default=(), compare=False)

    @property
    def versions(self) -> list[str]:
        """The versions, each once, the champion first."""
        named = [self.champion, self.canary.version if self.canary else None, self.shadow]
        return list(dict.fromkeys(name for name in named if name))

    def text(self) -> str:
        """Return them as one line: the champion's name alone, or JSON when there is more."""
        if self.canary is None and self.shadow is None:
            return self.champion
        shown = asdict(self)
        del shown["faults"]
        return json.dumps(shown, sort_keys=True)

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

    def all(self) -> Pointers | None:
        """Return all pointers, or nothing while there is no champion.

        A damaged canary or shadow is left out and named in ``faults``: it must not keep a new
        champion from its service.

        Raises:
            DataError: The champion's file is damaged.
        """
        pointed = self.champion()
        if pointed is None:
            return None
        champion, canary, shadow, faults = pointed[0], None, None, []
        try:
            canary = self.canary()
        except DataError as error:
            faults.append(str(error))
        try:
            shadow = self.shadow()
        except DataError as error:
            faults.append(str(error))
        return Pointers(
            champion,
            canary if canary and canary.version != champion else None,
            shadow if shadow != champion else None,
            tuple(faults),
        )

    def set_champion(self, version: str, former: list[str]) -> None:
        """Point at a champion; a canary or shadow of that version ends."""
        self._write(CHAMPION, {"version": version, "former": former})
        # A damaged file stays as it is: it names no version, and must not stop a rollback.
        with suppress(DataError):
            canary = self.canary()
            if canary and canary.version == version:
                self._storage.remove(CANARY)
        with suppress(DataError):
            if self.shadow() == version:
                self._storage.remove(SHADOW)

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


def _canary(found: Mapping[str, Any]) -> Canary:
    canary = Canary(str(found["version"]), float(found["share"]), str(found["salt"]))
    if not 0 < canary.share <= 1:
        raise ValueError(f"share {canary.share:g} is not above 0 and at most 1")
    return canary
