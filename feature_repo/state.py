"""Folders of the feature store: one per data version, and which of them is current.

``<state>/<version>/`` holds the feature tables, ``feature_store.yaml`` and, with local stores, the
registry and the online store. ``ready.json`` is written last: a folder without it was left by a
killed run and is built anew. ``<state>/current`` is a symbolic link, replaced atomically, to the
version that serving reads: ``feast -c <state>/current serve``.
"""

import contextlib
import hashlib
import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

import counterpoint.feature_tables
from counterpoint import artifacts, tables, withheld_items
from counterpoint.config import FeaturesConfig

logger = logging.getLogger(__name__)

READY: Final = "ready.json"
CURRENT: Final = "current"
LOCKS: Final = ".locks"


def version(config: FeaturesConfig, validated: Path, store_config: Path) -> str:
    """Name the data version: equal names mean equal feature tables and equal definitions."""
    digest = hashlib.sha256(f"{config.history_length} {config.split.seed}".encode())
    if withheld_items.withholds(config.split):
        digest.update(f"{config.split.cold_share} {config.split.item_seed}".encode())
    data = [validated / name for name in (artifacts.INTERACTIONS, artifacts.ITEMS, artifacts.USERS)]
    code = [Path(counterpoint.feature_tables.__file__), *Path(__file__).parent.glob("*.py")]
    for file in (*data, *sorted(code), store_config):
        with file.open("rb") as content:
            digest.update(hashlib.file_digest(content, "sha256").digest())
    return digest.hexdigest()[:16]


@contextlib.contextmanager
def locked(state: Path, name: str) -> Iterator[Path]:
    """Yield the folder of a data version, held by this process alone."""
    (state / LOCKS).mkdir(parents=True, exist_ok=True)
    lock = FileLock(state / LOCKS / name)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        logger.info("features: another run is building the same data version; waiting for it")
        lock.acquire()
    try:
        yield state / name
    finally:
        lock.release()


def is_ready(folder: Path) -> bool:
    """Whether the folder was built completely."""
    return (folder / READY).is_file()


def clear(folder: Path) -> None:
    """Remove what a killed run left behind."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def publish(folder: Path) -> None:
    """Mark a folder as complete and make it the current one."""
    tables.write_json(folder / f".{READY}", {"version": folder.name})
    os.replace(folder / f".{READY}", folder / READY)
    link = folder.with_name(f".{CURRENT}.{os.getpid()}")
    link.unlink(missing_ok=True)
    link.symlink_to(folder.name, target_is_directory=True)
    os.replace(link, folder.with_name(CURRENT))


def current(state: Path) -> Path | None:
    """Return the folder that serving reads, if a run has published one."""
    link = state / CURRENT
    return link.resolve() if is_ready(link) else None


def prune(state: Path, keep: int) -> None:
    """Delete all but the newest ``keep`` versions; those that a run holds stay."""
    folders = [
        path for path in state.iterdir() if path.is_dir() and path.name not in (CURRENT, LOCKS)
    ]

    def built(folder: Path) -> float:
        ready = folder / READY
        return ready.stat().st_mtime if ready.is_file() else 0.0

    for folder in sorted(folders, key=built, reverse=True)[keep:]:
        if folder == current(state):
            continue
        with contextlib.suppress(Timeout), FileLock(state / LOCKS / folder.name, timeout=0):
            logger.info("features: delete the feature store of data version %s", folder.name)
            shutil.rmtree(folder)
