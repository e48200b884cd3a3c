import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from counterpoint.config import Config, load
from pipelines import cli

SMALL = [
    "train.encoder.model=null",
    "train.fit.epochs=4",
    "train.fit.min_steps=16",
    "train.tower.dim=16",
    "features.examples_per_user=4",
    "evaluate.resamples=200",
    "validation.min_interactions=50",
    "gate.must_beat=[popularity]",
    "features.split.protocol=per_user",
]


@pytest.fixture(scope="session")
def small(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Config:
    """A configuration that trains on the shop in seconds, with state of its own."""
    state = tmp_path_factory.mktemp("state with space")
    options = {table: str(shop / f"{table}.csv") for table in ("interactions", "items", "users")}
    config = load(
        overrides=[
            *SMALL,
            f"ingest.options={options}",
            "ingest.dataset=tables",
            f"features.state={state / 'feast'}",
            f"deploy.registry={state / 'registry'}",
            f"deploy.triton={state / 'triton'}",
            f"monitor.state={state / 'monitoring'}",
            f"train.fit.checkpoints={state / 'checkpoints'}",
        ]
    )
    return config


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def command_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command line within this process, which has the heavy libraries already."""

    def run(*arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
        if folder is not None:
            monkeypatch.chdir(folder)
        monkeypatch.setattr("sys.argv", ["counterpoint", *arguments])
        status = 0
        try:
            cli.main()
        except SystemExit as end:
            status = int(end.code or 0)
        shown = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, status, shown.out, shown.err)

    return run
