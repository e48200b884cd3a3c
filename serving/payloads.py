"""Brings versions of the registry into the live folder of a server.

A payload is what the models read of a version, in one folder for all models. It is written whole
or not at all, and never changed: versions are immutable.
"""

import shutil
import time
from collections.abc import Callable, Collection
from pathlib import Path

from counterpoint.atomic import replaced_folder
from counterpoint.errors import CounterpointError
from serving import repository
from serving.engine import live_folder
from serving.engine.live_folder import Desired, Entry
from serving.pointers import Pointers
from serving.registry import Registry
from serving.repository import Form

RETRY_SECONDS = 30.0
"""A version that could not be brought is not hashed again at every look."""


class Payloads:
    """The payloads of one live folder.

    Args:
        registry: Holds the versions.
        live: The live folder.
        form: In the cluster form, graphs are left to Triton's own backend.
        clock: Seconds.
    """

    def __init__(
        self,
        registry: Registry,
        live: Path,
        *,
        form: Form,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._registry = registry
        self._live = live
        self._form = form
        self._clock = clock
        self._numbers: dict[str, int] = {}
        self._failed: dict[str, tuple[float, Exception]] = {}

    def bring(self, version: str) -> Entry:
        """Write the payload of a version, unless it is there.

        Raises:
            ConfigError: There is no such version.
            DataError: The version is damaged or lacks a file.
            OSError: The registry or the disk fails.
        """
        when, error = self._failed.get(version, (0.0, None))
        if error is not None and self._clock() < when + RETRY_SECONDS:
            raise error
        try:
            if version not in self._numbers:
                self._numbers[version] = self._registry.get(version).number
            target = live_folder.payload(self._live, version)
            if not target.is_dir():
                with (
                    self._registry.open(version) as source,
                    replaced_folder(target) as folder,
                ):
                    repository.write_payload(source, folder, form=self._form)
        except (CounterpointError, OSError) as problem:
            self._failed[version] = (self._clock(), problem)
            raise
        self._failed.pop(version, None)
        return Entry(version, self._numbers[version])

    def has(self, version: str) -> bool:
        """Say whether the payload of a version is there."""
        return live_folder.payload(self._live, version).is_dir()

    def desire(
        self, pointers: Pointers, *, fallback: str | None = None
    ) -> tuple[Desired, dict[str, str]]:
        """Bring all versions that the pointers name and return what a server can be told.

        Args:
            pointers: What should serve. A canary, shadow or loaded version that cannot be brought
                is left out.
            fallback: Version that serves if the champion cannot be loaded.

        Returns:
            What to desire; version -> what is wrong with it.

        Raises:
            ConfigError: There is no such champion.
            DataError: The champion is damaged.
            OSError: The registry or the disk fails.
        """
        champion = self.bring(pointers.champion)
        errors: dict[str, str] = {}

        def entry(version: str | None) -> Entry | None:
            if version is None:
                return None
            try:
                return self.bring(version)
            except (CounterpointError, OSError) as error:
                errors[version] = str(error)
                return None

        canary = entry(pointers.canary.version) if pointers.canary else None
        if canary and pointers.canary:
            canary = Entry(
                canary.version, canary.number, pointers.canary.share, pointers.canary.salt
            )
        return Desired(
            champion,
            canary,
            entry(pointers.shadow),
            tuple(found for version in pointers.loaded if (found := entry(version))),
            entry(fallback),
        ), errors

    def prune(self, keep: Collection[str]) -> None:
        """Remove the payloads of other versions."""
        folder = self._live / live_folder.VERSIONS
        for path in folder.iterdir() if folder.is_dir() else ():
            if path.name not in keep and not path.name.startswith("."):
                shutil.rmtree(path, ignore_errors=True)
