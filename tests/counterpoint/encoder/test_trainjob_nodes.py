"""A TrainJob that is carried out: its command, in the environment that Kubeflow Trainer makes."""

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from counterpoint import text_stage
from counterpoint.encoder import trainjob_api
from counterpoint.errors import SetupError
from tests.counterpoint.encoder import kube_api, shelves, test_tuning, tiny
from tests.counterpoint.encoder.kube_api import Api, container, holds, pod

ROOT = Path(__file__).resolve().parents[3]


class Nodes:
    """Runs a created job: one torchrun a node, as its torch plugin would have it."""

    def __init__(self, api: Api, folder: Path) -> None:
        self.api, self.folder = api, folder
        self.environments: list[dict[str, str]] = []
        api.created = self.start

    def start(self, job: dict[str, Any]) -> None:
        trainer, name = job["spec"]["trainer"], job["metadata"]["name"]
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        python, *command = [*trainer["command"], *trainer["args"]]
        assert python == "python"
        running = []
        for rank in range(trainer["numNodes"]):
            told = {
                "PET_NNODES": str(trainer["numNodes"]),
                "PET_NPROC_PER_NODE": str(trainer["numProcPerNode"]),
                "PET_NODE_RANK": str(rank),
                "PET_MASTER_ADDR": "127.0.0.1",
                "PET_MASTER_PORT": str(port),
            }
            plain = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
            process = subprocess.Popen(
                [sys.executable, *command],
                env=plain | told | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
                # The runtime of the cluster starts the container in some folder of its own.
                cwd=self.folder,
                stdout=(self.folder / f"{rank}.log").open("wb"),
                stderr=subprocess.STDOUT,
            )
            running.append((f"{name}-node-0-{rank}-abcde", process))
        self.api.pods = [pod(each, rank) for rank, (each, _) in enumerate(running)]
        threading.Thread(target=self._watch, args=(running,), daemon=True).start()

    def _watch(self, running: list[tuple[str, subprocess.Popen[bytes]]]) -> None:
        codes = [process.wait() for _, process in running]
        for rank, (name, _) in enumerate(running):
            self.api.logs[name] = (self.folder / f"{rank}.log").read_text("utf-8", "replace")
            ended = {"exitCode": codes[rank], "finishedAt": f"2026-01-01T00:00:0{rank}Z"}
            status = container(terminated=ended)
            self.api.pods[rank]["status"] = {"containerStatuses": status}
        self.api.statuses = [holds("Failed" if any(codes) else "Complete")]


def obtain(folder: Path, monkeypatch: pytest.MonkeyPatch, **tune: Any) -> text_stage.Obtained:
    world, weights = shelves.shelves(), tiny.save(folder / "tiny")
    (folder / "var").mkdir()
    (folder / "nodes").mkdir()
    settings = {
        "image": "counterpoint-train:0.1.0",
        "claim": "counterpoint-state",
        "mount_path": str(folder / "var"),
        "node": {"accelerators": 0},
        "poll_seconds": 0.2,
        "timeout_seconds": 300,
    }
    with kube_api.serve() as (api, cluster):
        Nodes(api, folder / "nodes")
        monkeypatch.setattr(trainjob_api, "in_cluster", lambda namespace: cluster)
        found = test_tuning.obtain(world, weights, folder, trainjob=settings, **tune)
        assert api.verbs() == ["POST", "DELETE"]
    return found


@pytest.mark.slow
def test_two_nodes_train_what_two_processes_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quiet = {"token_dropout": 0.0, "max_steps": 20}
    found = obtain(tmp_path, monkeypatch, **quiet)
    assert found.trained, found.report["why"]
    assert not list((tmp_path / "var" / "trainjobs").iterdir())
    world, weights = shelves.shelves(), tiny.save(tmp_path / "again")
    here = test_tuning.obtain(world, weights, tmp_path / "here", processes=2, **quiet)
    # The same seeds in the same number of processes: the same encoder.
    assert found.encoder.weights_sha256 == here.encoder.weights_sha256
    timed = {"seconds", "cpu_seconds"}
    one, other = (
        {k: v for k, v in r.items() if k not in timed} for r in (found.report, here.report)
    )
    assert one == other and set(found.report) == set(here.report)


@pytest.mark.slow
def test_a_node_that_fails_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = {"learning_rate": 1e30, "patience": 99}
    with pytest.raises(SetupError, match=r"Last words of pod .*-node-0-") as caught:
        obtain(tmp_path, monkeypatch, **bad)
    assert "Error" in str(caught.value)
