"""Files and folders that appear whole or not at all."""

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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
