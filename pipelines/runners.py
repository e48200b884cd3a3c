"""The three ways to run a pipeline: ``local`` and ``docker`` (kfp.local) and ``kubeflow``."""

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from rich.console import Console

from counterpoint import artifacts
from counterpoint.config import Config
from counterpoint.errors import CounterpointError, ServerError, SetupError
from counterpoint.tables import read_json
from pipelines import run_report, runs
from pipelines.live_source import with_live_items
from pipelines.watch import Watcher

LOCK = ".run.lock"


@dataclass(frozen=True)
class LocalRun:
    """A finished local run.

    Attributes:
        folder: Its folder.
        record: Its record (runs.py).
        watcher: Stages with times and figures.
    """

    folder: Path
    record: dict[str, Any]
    watcher: Watcher

    @property
    def held(self) -> list[str]:
        """Why the gate held the candidate; empty when it did not."""
        decisions = sorted(self.folder.glob(f"{runs.ARTIFACTS}/**/{artifacts.DECISION}"))
        return [
            f"{reason['condition']}: {reason['detail']}"
            for path in decisions
            for reason in read_json(path)["reasons"]
            if not reason["passed"]
        ]


def run_local(
    pipeline: str, config: Config, *, root: Path, console: Console, runner: str = "local"
) -> LocalRun:
    """Run a pipeline on this machine and keep its record, log, artifacts and report.

    Args:
        pipeline: Name of the pipeline.
        config: Configuration.
        root: Folder of the runs.
        console: Where progress is shown.
        runner: ``local`` (subprocesses) or ``docker`` (our images).

    Raises:
        CounterpointError: A step ended with a fault of the user; has the step's exit status.
        SetupError: Another run is going on in the same folder, or the disk is full.
    """
    config = with_live_items(config)
    if runner == "docker":
        _find_docker()
    root.mkdir(parents=True, exist_ok=True)
    lock = FileLock(root / LOCK)
    try:
        with lock.acquire(timeout=0):
            return _run(pipeline, config, root, console, runner)
    except Timeout:
        raise SetupError(
            f"Another run is going on in {root} (lock {root / LOCK}). Two runs would change the "
            "same feature store and registry; wait for it or give another state folder."
        ) from None


def _find_docker() -> None:
    import docker

    try:
        client = docker.from_env()
        client.ping()
        client.close()
    except docker.errors.DockerException as error:
        raise SetupError(
            f"The docker runner found no Docker service: {error}. Start it (or name it with "
            "DOCKER_HOST), build the images with 'make images', or use --runner local."
        ) from None


def _run(pipeline: str, config: Config, root: Path, console: Console, runner: str) -> LocalRun:
    folder = runs.create(root, pipeline, config, runner)
    watcher = Watcher(folder / runs.ARTIFACTS, console)
    console.print(f"Run [bold]{folder.name}[/] ({runner}), log in {folder / runs.LOG}")
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "pipelines.local_run", str(folder), runner],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    assert process.stdout is not None
    status = runs.KILLED
    try:
        watcher.follow(process.stdout, folder / runs.LOG)
        status = runs.SUCCEEDED if process.wait() == 0 else runs.FAILED
    finally:
        if process.poll() is None:
            stop_group(process)
        record = runs.read(folder) | {
            "status": status,
            "stages": [stage.record() for stage in watcher.stages],
            "fault": watcher.fault,
        }
        runs.write(folder, record)
        run_report.write(folder, record)
    if status != runs.SUCCEEDED:
        raise _failure(watcher, folder)
    return LocalRun(folder, record, watcher)


def stop_group(process: subprocess.Popen[str], *, patience_s: float = 10.0) -> None:
    """Stop a process and all it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            return
        try:
            process.wait(patience_s)
            return
        except subprocess.TimeoutExpired:
            continue


def _failure(watcher: Watcher, folder: Path) -> CounterpointError:
    """The exception a failed run ends with: the step's own fault, or where its log lies."""
    stage = watcher.stages[-1].name if watcher.stages else "start"
    if watcher.fault:
        error = CounterpointError(f"Stage {stage}: {watcher.fault['message']}")
        error.exit_code = watcher.fault["exit_code"]
        return error
    tail = (folder / runs.LOG).read_text("utf-8").splitlines()[-40:]
    cause = next((line.strip() for line in reversed(tail) if "Error" in line), "see its log")
    return CounterpointError(f"Stage {stage} failed: {cause}. The log is {folder / runs.LOG}.")


def pod_credentials() -> Any:
    """The token for Kubeflow Pipelines that Kubernetes projects into a pod; None elsewhere."""
    from kfp import client as kfp_client

    token = os.environ.get(
        kfp_client.KF_PIPELINES_SA_TOKEN_ENV, kfp_client.KF_PIPELINES_SA_TOKEN_PATH
    )
    if not Path(token).is_file():
        return None
    return kfp_client.ServiceAccountTokenVolumeCredentials(path=token)


def submit(pipeline: str, config: Config, *, host: str, experiment: str, namespace: str) -> str:
    """Start a pipeline on a Kubeflow cluster.

    Args:
        pipeline: Name of the pipeline.
        config: Configuration.
        host: URL of the Kubeflow Pipelines API.
        experiment: Name of the experiment the run belongs to.
        namespace: Kubernetes namespace in multi-user mode; empty otherwise.

    Returns:
        The id of the run.

    Raises:
        ServerError: The host cannot be reached or refuses the run.
    """
    import kfp
    import kfp_server_api
    import urllib3

    from pipelines import catalogue

    config = with_live_items(config)
    try:
        client = kfp.Client(
            host=host, namespace=namespace or "kubeflow", credentials=pod_credentials()
        )
        result = client.create_run_from_pipeline_func(
            catalogue.build(pipeline, config),
            arguments=catalogue.arguments(pipeline, config),
            experiment_name=experiment,
            namespace=namespace or None,
            service_account=config.cluster.service_account,
            enable_caching=None,
        )
    except (urllib3.exceptions.HTTPError, OSError, kfp_server_api.ApiException) as error:
        reason = getattr(error, "reason", None) or error
        raise ServerError(
            f"Kubeflow Pipelines at {host} did not take the run: {reason}. Give the URL of its API "
            "(for example http://localhost:8080 behind 'kubectl port-forward')."
        ) from None
    return str(result.run_id)
