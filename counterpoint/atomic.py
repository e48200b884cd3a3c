"""Files and folders that appear whole or not at all, and scratch folders that do not pile up."""

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout


def replace_file(path: Path, content: bytes) -> None:
    """Write a file in one step: readers see the old or the new content, also after a kill."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replaced_folder(path: Path) -> Iterator[Path]:
    """Give a fresh folder that takes the place of ``path`` when the block ends without an error.

    Remains of earlier killed runs are removed. Between the two renames of a replacement there is
    an instant without ``path``; it never holds a mixture.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for remains in path.parent.glob(f".{path.name}.new-*"):
        shutil.rmtree(remains, ignore_errors=True)
    temporary = path.with_name(f".{path.name}.new-{uuid.uuid4().hex}")
    temporary.mkdir()
    try:
        yield temporary
        if path.exists():
            old = path.with_name(f".{path.name}.new-old-{uuid.uuid4().hex}")
            path.rename(old)
            temporary.rename(path)
            shutil.rmtree(old)
        else:
            temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def scratch_folder(name: str) -> Iterator[Path]:
    """Give a temporary folder, after removing those of the same name whose process is dead.

    A killed process cannot clean up, and what the folder holds may be large; its lock tells the
    next one that nobody uses it any more.
    """
    parent = Path(tempfile.gettempdir())
    for lock in parent.glob(f"{name}-*.lock"):
        # Another user's remains, or a folder in use, are left alone.
        with suppress(Timeout, OSError), FileLock(lock, timeout=0):
            shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
            lock.unlink()
    folder = parent / f"{name}-{uuid.uuid4().hex[:12]}"
    lock = folder.with_name(f"{folder.name}.lock")
    with FileLock(lock):
        folder.mkdir(mode=0o700)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            lock.unlink(missing_ok=True)
