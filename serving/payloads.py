"""Brings versions of the registry into the live folder of a server.

A payload is what the models read of a version, in one folder for all models. It is written whole
or not at all, and never changed: versions are immutable.
"""

import shutil
from collections.abc import Collection
from pathlib import Path

from counterpoint.atomic import replaced_folder
from counterpoint.errors import CounterpointError
from serving import repository
from serving.engine import live_folder
from serving.engine.live_folder import Desired, Entry
from serving.pointers import Pointers
from serving.registry import Registry
from serving.repository import Form


def bring(registry: Registry, live: Path, version: str, *, form: Form) -> None:
    """Write the payload of a version, unless it is there.

    Args:
        registry: Holds the version.
        live: The live folder.
        version: Name of the version.
        form: In the cluster form, graphs are left to Triton's own backend.

    Raises:
        ConfigError: There is no such version.
        DataError: The version is damaged or lacks a file.
    """
    target = live_folder.payload(live, version)
    if target.is_dir():
        return
    with registry.open(version) as source, replaced_folder(target) as folder:
        repository.write_payload(source, folder, form=form)


def desire(
    registry: Registry,
    live: Path,
    pointers: Pointers,
    *,
    form: Form,
    fallback: str | None = None,
) -> tuple[Desired | None, dict[str, str]]:
    """Bring all versions that the pointers name and return what a server can be told.

    A version that cannot be brought is left out; without the champion nothing can be told.

    Args:
        registry: Holds the versions.
        live: The live folder.
        pointers: What should serve.
        form: Form of the payloads.
        fallback: Version that serves if the champion cannot be loaded; its payload is there.

    Returns:
        What to desire, or nothing; version -> what is wrong with it.
    """
    numbers: dict[str, int] = {}
    errors: dict[str, str] = {}
    for version in pointers.versions:
        try:
            bring(registry, live, version, form=form)
            numbers[version] = registry.get(version).number
        except (CounterpointError, OSError) as error:
            errors[version] = str(error)
    if pointers.champion in errors:
        return None, errors

    def entry(version: str | None) -> Entry | None:
        return Entry(version, numbers[version]) if version in numbers else None

    canary, champion = pointers.canary, Entry(pointers.champion, numbers[pointers.champion])
    asked = entry(canary.version) if canary else None
    if asked and canary:
        asked = Entry(asked.version, asked.number, canary.share, canary.salt)
    held = tuple(found for version in pointers.loaded if (found := entry(version)))
    if fallback is None or not live_folder.payload(live, fallback).is_dir():
        return Desired(champion, asked, entry(pointers.shadow), held), errors
    spare = Entry(fallback, registry.get(fallback).number)
    return Desired(champion, asked, entry(pointers.shadow), held, spare), errors


def prune(live: Path, keep: Collection[str]) -> None:
    """Remove the payloads of other versions."""
    folder = live / live_folder.VERSIONS
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.name not in keep and not path.name.startswith("."):
            shutil.rmtree(path, ignore_errors=True)
