"""The model registry: immutable versions, one champion pointer, an audit log, rollback.

::

    <registry>/versions/<version>/…              what is served, plus version.json
    <registry>/champion.json                     version and former champions, replaced atomically
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
CHAMPION = "champion.json"
AUDIT = "audit.jsonl"


class Registry:
    """A registry at a local path or any fsspec URL.

    Args:
        root: ``var/registry``, ``s3://bucket/registry``, …
    """

    def __init__(self, root: str | Path) -> None:
        self._storage = Storage(str(root))

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
            self._record("publish", version.version, why)
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

    def champion(self) -> Version | None:
        """Return the version in service, if there is one."""
        pointer = self._pointer()
        return self.get(pointer["version"]) if pointer else None

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

    def promote(self, version: str, *, why: str) -> None:
        """Make a version the champion.

        Raises:
            ConfigError: There is no such version.
            DataError: The version is damaged; the champion stays.
        """
        with self._storage.locked(), self.open(version):
            pointer = self._pointer()
            if pointer is not None and pointer["version"] == version:
                return
            former = [*pointer["former"], pointer["version"]] if pointer else []
            # Recorded first: a kill in between leaves a note too many, never a silent change.
            self._record("promote", version, why)
            self._point(version, former)

    def rollback(self, version: str | None = None, *, why: str) -> Version:
        """Return to the champion before the present one, or to a named version.

        Raises:
            ConfigError: There is no such version, or no former champion.
            DataError: The version is damaged; the champion stays.
        """
        with self._storage.locked():
            pointer = self._pointer()
            former: list[str] = pointer["former"] if pointer else []
            if version is None and not former:
                raise ConfigError(
                    [
                        f"{self._storage.root} has no former champion to roll back to. Name a "
                        f"version: {', '.join(v.version for v in self.versions()) or 'none yet'}."
                    ]
                )
            target = version or former[-1]
            with self.open(target):
                if target in former:
                    former = former[: len(former) - 1 - former[::-1].index(target)]
                elif pointer is not None and pointer["version"] != target:
                    former = [*former, pointer["version"]]
                self._record("rollback", target, why)
                self._point(target, former)
        return self.get(target)

    def refuse(self, version: str, *, why: str) -> None:
        """Note that a version may not serve; the champion stays."""
        with self._storage.locked():
            self._record("refuse", version, why)

    def status(self, version: str) -> str:
        """Return ``champion``, ``former``, ``refused`` or ``staged``."""
        pointer = self._pointer() or {"version": None, "former": []}
        if version == pointer["version"]:
            return "champion"
        last = [e["action"] for e in self.audit() if e["version"] == version]
        if last and last[-1] == "refuse":
            return "refused"
        return "former" if {"promote", "rollback"} & set(last) else "staged"

    def audit(self) -> list[dict[str, str]]:
        """Return every change, oldest first; a line torn by a kill is left out."""
        entries = []
        for line in (self._storage.read(AUDIT) or b"").splitlines():
            try:
                entries.append(json.loads(line))
            except ValueError:
                continue
        return entries

    def _pointer(self) -> dict[str, Any] | None:
        content = self._storage.read(CHAMPION)
        if content is None:
            return None
        try:
            pointer = json.loads(content)
            return {"version": str(pointer["version"]), "former": list(pointer["former"])}
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{self._storage.root}/{CHAMPION} is damaged ({error!r}). Delete it and promote a "
                f"version again; {AUDIT} names the last champion."
            ) from error

    def _point(self, version: str, former: list[str]) -> None:
        pointer = {"version": version, "former": former}
        self._storage.replace(CHAMPION, json.dumps(pointer, indent=2).encode())

    def _record(self, action: str, version: str, why: str) -> None:
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
