"""The registry's file system: local folders with atomic steps, or any other fsspec path."""

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import fsspec
from filelock import FileLock
from fsspec.implementations.local import LocalFileSystem

from counterpoint.atomic import replace_file
from counterpoint.errors import SetupError

LOCK_SECONDS = 120.0
_INCOMING = ".incoming-"


class Storage:
    """Files below one root.

    Locally, folders appear by rename and writers wait for each other. Object stores have neither
    renames nor locks: there a folder counts only once its marker file, written last, exists, and a
    single small file is replaced by one put, which is atomic.

    Args:
        root: Local path or fsspec URL.

    Raises:
        SetupError: The URL's file system needs a package that is not installed.
    """

    def __init__(self, root: str) -> None:
        try:
            self._fs, path = fsspec.core.url_to_fs(root)
        except (ImportError, ValueError) as error:
            raise SetupError(
                f"Registry {root!r} cannot be opened: {error}. Name a local folder, or install the "
                f"fsspec package of that file system (s3fs, gcsfs, …)."
            ) from error
        self.root = path.rstrip("/")
        self.local = isinstance(self._fs, LocalFileSystem)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the registry against other writers (on a local file system)."""
        if not self.local:
            yield
            return
        Path(self.root).mkdir(parents=True, exist_ok=True)
        with FileLock(Path(self.root) / ".lock", timeout=LOCK_SECONDS):
            yield

    def read(self, name: str) -> bytes | None:
        """Return a file's content, or nothing when there is no such file."""
        try:
            return bytes(self._fs.cat_file(f"{self.root}/{name}"))
        except FileNotFoundError:
            return None

    def replace(self, name: str, content: bytes) -> None:
        """Replace a small file in one step."""
        if self.local:
            replace_file(Path(self.root) / name, content)
        else:
            self._fs.pipe_file(f"{self.root}/{name}", content)

    def remove(self, name: str) -> None:
        """Remove a file; harmless when there is none."""
        with suppress(FileNotFoundError):
            self._fs.rm_file(f"{self.root}/{name}")

    def append(self, name: str, line: bytes) -> None:
        """Append a line; a line torn by an earlier kill is closed first."""
        if not self.local:
            before = self.read(name) or b""
            self._fs.pipe_file(f"{self.root}/{name}", before + line + b"\n")
            return
        path = Path(self.root) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab+") as file:
            if file.tell() and _last_byte(path) != b"\n":
                file.write(b"\n")
            file.write(line + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def folders(self, name: str) -> list[str]:
        """Return the names of the folders below ``name``, without unfinished ones."""
        path = f"{self.root}/{name}"
        self._fs.invalidate_cache()
        if not self._fs.isdir(path):
            return []
        entries = self._fs.ls(path, detail=True)
        found = [e["name"].rstrip("/").rpartition("/")[2] for e in entries if e["type"] != "file"]
        return sorted(name for name in found if not name.startswith("."))

    def files(self, name: str) -> list[str]:
        """Return the paths of all files below a folder, relative to it."""
        base = f"{self.root}/{name}/"
        return sorted(p[len(base) :] for p in self._fs.find(base.rstrip("/")))

    def add_folder(
        self, name: str, files: Mapping[str, Path], *, marker: tuple[str, bytes]
    ) -> None:
        """Add a folder that is seen whole or not at all.

        Args:
            name: Folder below the root; must not exist.
            files: Relative path -> source file.
            marker: Name and content of the file that is written last.
        """
        if not self.local:
            for target, source in files.items():
                self._fs.put_file(str(source), f"{self.root}/{name}/{target}")
            self._fs.pipe_file(f"{self.root}/{name}/{marker[0]}", marker[1])
            return
        final = Path(self.root) / name
        final.parent.mkdir(parents=True, exist_ok=True)
        # The caller holds the lock: what another writer left behind belongs to a dead process.
        for remains in final.parent.glob(f"{_INCOMING}*"):
            shutil.rmtree(remains, ignore_errors=True)
        incoming = final.parent / f"{_INCOMING}{uuid.uuid4().hex}"
        try:
            for target, source in files.items():
                (incoming / target).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, incoming / target)
            (incoming / marker[0]).write_bytes(marker[1])
            for path in [p for p in incoming.rglob("*") if p.is_file()]:
                with path.open("rb") as file:
                    os.fsync(file.fileno())
            incoming.rename(final)
        finally:
            shutil.rmtree(incoming, ignore_errors=True)

    @contextmanager
    def local_copy(self, name: str) -> Iterator[Path]:
        """Give a folder as a local path: itself, or a download that lives as long as the block."""
        if self.local:
            yield Path(self.root) / name
            return
        with tempfile.TemporaryDirectory(prefix="counterpoint-version-") as folder:
            for file in self.files(name):
                target = Path(folder) / file
                target.parent.mkdir(parents=True, exist_ok=True)
                self._fs.get_file(f"{self.root}/{name}/{file}", str(target))
            yield Path(folder)


def _last_byte(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1)
