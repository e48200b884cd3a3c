"""A run killed at any stage leaves nothing that would be loaded, and the next run succeeds."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from counterpoint.config import Config, merge
from pipelines import runs
from pipelines.runners import run_local
from serving.registry import Registry

PATIENCE_S = 240


def start(config: Path, root: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "pipelines.cli", "run", "training"]
    return subprocess.Popen(
        [*command, "-c", str(config), "--runs-dir", str(root)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def wait_for(stage: str, root: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        logs = list(root.glob(f"*/{runs.LOG}"))
        if any(f"Executing task '{stage}'" in log.read_text() for log in logs):
            return
        assert process.poll() is None, "the run ended before the stage began"
        time.sleep(0.05)
    raise AssertionError(f"{stage} did not begin")


def children_of(root: Path) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(root).encode() in entry.read_bytes():
                found.append(int(entry.parent.name))
        except OSError:
            continue
    return found


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_run_leaves_nothing_half_written(
    small: Config, tmp_path: Path, number: signal.Signals
) -> None:
    own = Config.model_validate(
        merge(
            small.model_dump(mode="json"),
            {
                "deploy": {"registry": str(tmp_path / "registry")},
                "features": {"state": str(tmp_path / "feast")},
            },
        )
    )
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(own.model_dump(mode="json")))
    for stage in ("ingest", "features", "train", "export", "deploy"):
        root = tmp_path / stage
        process = start(config, root)
        wait_for(stage, root, process)
        time.sleep(1.5)
        os.kill(process.pid, number)
        assert process.wait(60) != 0
        (folder,) = runs.all_folders(root)
        assert runs.read(folder)["status"] in {runs.KILLED, runs.FAILED}
        registry = Registry(own.deploy.registry)
        for version in registry.versions():
            with registry.open(version.version):
                pass
        deadline = time.monotonic() + 30
        while children_of(root) and time.monotonic() < deadline:
            time.sleep(0.2)
        assert children_of(root) == []
    finished = run_local("training", own, root=tmp_path / "last", console=Console(quiet=True))
    assert finished.record["status"] == runs.SUCCEEDED
    champion = Registry(own.deploy.registry).champion()
    assert champion is not None and json.loads((finished.folder / runs.RECORD).read_text())
