import subprocess
import sys
from pathlib import Path

import pytest

from counterpoint.config import Config
from counterpoint.errors import ConfigError, DataError
from pipelines import runs


def make(root: Path, pid: int | None = None, status: str = runs.RUNNING) -> Path:
    folder = runs.create(root, "training", Config(), "local")
    record = runs.read(folder) | {"status": status}
    runs.write(folder, record | ({"pid": pid} if pid else {}))
    return folder


def test_a_run_whose_process_is_gone_counts_as_killed(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    assert runs.read(make(tmp_path, gone.pid))["status"] == runs.KILLED
    assert runs.read(make(tmp_path))["status"] == runs.RUNNING


def test_a_run_is_found_by_the_beginning_of_its_id(tmp_path: Path) -> None:
    folder = make(tmp_path)
    make(tmp_path)
    assert runs.find(tmp_path, folder.name) == folder
    with pytest.raises(ConfigError, match="several"):
        runs.find(tmp_path, "training")
    with pytest.raises(ConfigError, match="no run"):
        runs.find(tmp_path, "other")


def test_a_damaged_record_names_the_folder_to_remove(tmp_path: Path) -> None:
    folder = make(tmp_path)
    (folder / runs.RECORD).write_text("{")
    with pytest.raises(DataError, match="Remove"):
        runs.read(folder)


def test_prune_keeps_the_newest_and_never_touches_a_running_one(tmp_path: Path) -> None:
    finished = [make(tmp_path, status=runs.SUCCEEDED) for _ in range(3)]
    running = make(tmp_path)
    removed = runs.prune(tmp_path, keep=1)
    assert len(removed) == 2
    assert running.exists()
    assert sum(folder.exists() for folder in finished) == 1
