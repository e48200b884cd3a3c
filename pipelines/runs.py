"""Records of local runs: one folder a run, with its configuration, log, artifacts and report."""

import json
import os
import secrets
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from counterpoint.config import Config
from counterpoint.errors import ConfigError, DataError
from counterpoint.tables import read_json

RECORD = "run.json"
LOG = "run.log"
REPORT = "report.html"
ARTIFACTS = "artifacts"
RUNNING, SUCCEEDED, FAILED, KILLED = "running", "succeeded", "failed", "killed"


def create(root: Path, pipeline: str, config: Config, runner: str) -> Path:
    """Make the folder and the record of a new run; return the folder."""
    now = datetime.now(UTC)
    folder = root / f"{pipeline}-{now:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    folder.mkdir(parents=True)
    write(
        folder,
        {
            "id": folder.name,
            "pipeline": pipeline,
            "runner": runner,
            "status": RUNNING,
            "pid": os.getpid(),
            "started": now.isoformat(timespec="seconds"),
            "config": config.model_dump(mode="json"),
            "stages": [],
        },
    )
    return folder


def write(folder: Path, record: dict[str, Any]) -> None:
    """Replace the record atomically."""
    temporary = folder / f".{RECORD}"
    temporary.write_text(json.dumps(record, indent=2) + "\n", "utf-8")
    temporary.replace(folder / RECORD)


def read(folder: Path) -> dict[str, Any]:
    """Read the record; a run whose process is gone counts as killed.

    Raises:
        DataError: The record is missing or damaged.
    """
    try:
        record: dict[str, Any] = read_json(folder / RECORD)
    except (OSError, ValueError) as error:
        raise DataError(
            f"Run {folder.name} has no readable {RECORD} ({error}). Remove {folder}."
        ) from None
    if record["status"] == RUNNING and not alive(record["pid"]):
        record["status"] = KILLED
    return record


def alive(pid: int) -> bool:
    """Whether a process of this user runs under the id."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def find(root: Path, run_id: str) -> Path:
    """The folder of a run given its id, a unique beginning of it, or ``latest``.

    Raises:
        ConfigError: No run or several runs match.
    """
    folders = sorted(all_folders(root), key=lambda folder: folder.stat().st_mtime)
    names = [folder.name for folder in folders]
    if run_id == "latest" and folders:
        return max(folders, key=lambda folder: read(folder)["started"])
    matches = [folder for folder in folders if folder.name.startswith(run_id)]
    if len(matches) != 1:
        fault = "matches several runs" if matches else "matches no run"
        known = ", ".join(names[-10:]) or "none yet; start one with 'counterpoint run training'"
        raise ConfigError([f"{run_id!r} {fault} under {root}. Known: {known}."])
    return matches[0]


def all_folders(root: Path) -> Iterator[Path]:
    """Folders of all runs."""
    return (path.parent for path in root.glob(f"*/{RECORD}"))


def prune(root: Path, keep: int) -> list[str]:
    """Remove the oldest finished runs beyond ``keep``; return their ids."""
    records = [(read(folder)["started"], folder) for folder in all_folders(root)]
    finished = [f for _, f in sorted(records, reverse=True) if read(f)["status"] != RUNNING]
    for folder in finished[keep:]:
        shutil.rmtree(folder)
    return [folder.name for folder in finished[keep:]]
