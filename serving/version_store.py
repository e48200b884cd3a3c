"""The versions of a registry: published once, never changed; and the log of every change.

::

    <registry>/versions/<version>/…              what is served, plus version.json
    <registry>/audit.jsonl                       who changed what, when and why
"""

import getpass
import json
import logging
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from counterpoint import artifacts
from counterpoint.errors import ConfigError, DataError
from serving.storage import Storage
from serving.version import Version, check, content_hash, parse, sha256

logger = logging.getLogger(__name__)

VERSIONS = "versions"
AUDIT = "audit.jsonl"


class VersionStore:
    """Versions at a local path or any fsspec URL.

    Args:
        root: ``var/registry``, ``s3://bucket/registry``, …
    """

    def __init__(self, root: str | Path) -> None:
        self._storage = Storage(str(root))

    @property
    def root(self) -> str:
        """Where it lies."""
        return self._storage.root

    def publish(
        self, folders: Mapping[str, Path], *, details: Mapping[str, Any], why: str
    ) -> Version:
        """Add an immutable version; it does not become the champion.

        Equal content published twice within a second is one version.

        Args:
            folders: Name inside the version (``onnx``, ``model``, …) -> source folder.
            details: Free JSON: data hash, configuration, metrics.
            why: Reason, for the audit log.

        Raises:
            DataError: A source folder is missing or empty.
        """
        sources = {
            f"{name}/{path.relative_to(folder).as_posix()}": path
            for name, folder in folders.items()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
        empty = [
            str(f) for n, f in folders.items() if not any(s.startswith(f"{n}/") for s in sources)
        ]
        if empty:
            raise DataError(
                f"Nothing to publish in {', '.join(empty)}: the folder is missing or empty. Run "
                f"the stage that writes it first."
            )
        files = {name: sha256(path) for name, path in sources.items()}
        content = content_hash(files)
        with self._storage.locked():
            known = self.versions()
            now = datetime.now(UTC)
            version = Version(
                version=f"{now:%Y%m%dT%H%M%SZ}-{content[:8]}",
                number=1 + max((v.number for v in known), default=0),
                created=now.isoformat(timespec="seconds"),
                content_sha256=content,
                files=files,
                details=dict(details),
            )
            twin = next((v for v in known if v.version == version.version), None)
            if twin is not None:
                return twin
            marker = json.dumps(version.__dict__, indent=2, sort_keys=True, default=str).encode()
            self._storage.add_folder(
                f"{VERSIONS}/{version.version}", sources, marker=(artifacts.VERSION, marker)
            )
            self.record("publish", version.version, why)
        return version

    def versions(self) -> list[Version]:
        """Return all whole versions, oldest first; one with a damaged version.json is left out."""
        found = []
        for name in self._storage.folders(VERSIONS):
            content = self._storage.read(f"{VERSIONS}/{name}/{artifacts.VERSION}")
            if content is None:
                continue
            try:
                found.append(parse(name, content))
            except DataError as error:
                logger.warning("%s", error)
        return sorted(found, key=lambda v: (v.number, v.version))

    def get(self, version: str) -> Version:
        """Return one version.

        Raises:
            ConfigError: There is no such version; lists the known ones.
        """
        content = None
        if "/" not in version and not version.startswith("."):
            content = self._storage.read(f"{VERSIONS}/{version}/{artifacts.VERSION}")
        if content is None:
            known = ", ".join(v.version for v in self.versions()) or "none yet"
            raise ConfigError(
                [f"Unknown version {version!r} in {self._storage.root}. Known: {known}."]
            )
        return parse(version, content)

    @contextmanager
    def open(self, version: str) -> Iterator[Path]:
        """Give a version's folder as a local path, after checking every file's hash.

        Raises:
            ConfigError: There is no such version.
            DataError: A file is missing, changed or added.
        """
        wanted = self.get(version)
        with self._storage.local_copy(f"{VERSIONS}/{version}") as folder:
            check(wanted, folder)
            yield folder

    def audit(self) -> list[dict[str, str]]:
        """Return every change, oldest first; a line torn by a kill is left out."""
        entries = []
        for line in (self._storage.read(AUDIT) or b"").splitlines():
            try:
                entries.append(json.loads(line))
            except ValueError:
                continue
        return entries

    def record(self, action: str, version: str, why: str) -> None:
        """Add a line to the audit log."""
        entry = {
            "when": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "who": f"{_user()}@{socket.gethostname()}",
            "action": action,
            "version": version,
            "why": why,
        }
        self._storage.append(AUDIT, json.dumps(entry, ensure_ascii=False).encode())


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # A container's user id without a name.
        return f"uid {os.getuid()}"
