"""One version of the registry: its description, and whether its folder still agrees with it."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from counterpoint import artifacts
from counterpoint.errors import DataError


@dataclass(frozen=True)
class Version:
    """What version.json says.

    Attributes:
        version: Name: UTC time of publication and the first digits of the content hash.
        number: Rising integer; Triton's version number.
        created: ISO 8601.
        content_sha256: Hash over the names and hashes of all files.
        files: Relative path -> SHA-256.
        details: Data hash, configuration, metrics, … as given at publication.
    """

    version: str
    number: int
    created: str
    content_sha256: str
    files: Mapping[str, str]
    details: Mapping[str, Any] = field(default_factory=dict)


def parse(name: str, content: bytes) -> Version:
    """Read version.json.

    Raises:
        DataError: It is damaged, or its list of files was changed.
    """
    try:
        version = Version(**json.loads(content))
        if content_hash(version.files) != version.content_sha256:
            raise ValueError("its list of files was changed")
        return version
    except (ValueError, TypeError) as error:
        raise DataError(
            f"{artifacts.VERSION} of version {name} is damaged ({error}). Remove that version's "
            f"folder, or restore it from a backup."
        ) from error


def check(version: Version, folder: Path) -> None:
    """Compare a version's folder with its list of files.

    Raises:
        DataError: A file is missing, changed or added.
    """
    present = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    present.discard(artifacts.VERSION)
    wanted = set(version.files)
    faults = [f"{name} is missing" for name in sorted(wanted - present)]
    faults += [f"{name} does not belong to it" for name in sorted(present - wanted)]
    faults += [
        f"{name} was changed"
        for name in sorted(wanted & present)
        if sha256(folder / name) != version.files[name]
    ]
    if faults:
        raise DataError(
            f"Version {version.version} is damaged and is refused: {'; '.join(faults)}. Restore "
            f"its files or choose another version (counterpoint models list)."
        )


def content_hash(files: Mapping[str, str]) -> str:
    """Hash the names and hashes of all files."""
    return hashlib.sha256(json.dumps(dict(files), sort_keys=True).encode()).hexdigest()


def sha256(path: Path) -> str:
    """Hash one file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
