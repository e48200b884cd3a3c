"""The real Kubernetes client, and everything that a TrainJob may do, against a local server."""

import logging
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import certifi
import polars as pl
import pytest

from counterpoint import columns, tables
from counterpoint.config import TrainConfig
from counterpoint.encoder import launch, trainjob, trainjob_api, trainjob_waiting
from counterpoint.encoder.item_texts import ItemTexts
from counterpoint.encoder.job import REPORT, Job
from counterpoint.encoder.loading import load_backbone, weights_hash
from counterpoint.encoder.trainjob_api import TrainJobs
from counterpoint.errors import ConfigError, ServerError, SetupError
from tests.counterpoint.encoder import kube_api, tiny
from tests.counterpoint.encoder.kube_api import Api, container, holds, pod

KEY = "0123456789abcdef"
NAME = f"counterpoint-encoder-{KEY}"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save(tmp_path_factory.mktemp("weights"))


@pytest.fixture
def served() -> Iterator[tuple[Api, TrainJobs]]:
    with kube_api.serve() as found:
        yield found


class World:
    """A step `train` and the folder that it shares with the nodes."""

    def __init__(self, folder: Path, weights: Path, served: tuple[Api, TrainJobs]) -> None:
        self.api, self.cluster = served
        self.mount, self.target = folder / "var", folder / "cache" / "trained" / KEY
        self.mount.mkdir()
        self.weights = weights
        self.shared = self.mount / "trainjobs" / KEY

    def job(self, **changed: Any) -> Job:
        settings = {
            "image": "counterpoint-train:0.1.0",
            "claim": "counterpoint-state",
            "mount_path": str(self.mount),
            "node": {"accelerators": 0},
            "poll_seconds": 0.02,
            "timeout_seconds": 60,
        }
        encoder = {"model": str(self.weights), "prompt": "passage: ", "max_tokens": 16}
        tune = {"processes": 2, "trainjob": settings | changed}
        config = TrainConfig.model_validate({"encoder": encoder | {"tune": tune}})
        rows = pl.DataFrame({columns.ITEM: ["a", "b"], columns.ATTRIBUTES: [["x"], []]})
        events = pl.DataFrame(
            {
                columns.USER: ["u"],
                columns.ITEM: ["a"],
                columns.TIMESTAMP: [datetime(2026, 1, 1, tzinfo=UTC)],
                columns.POSITIVE: [True],
            }
        )
        return Job(rows, ItemTexts.of(["space war", "love"]), events, config)

    def run(self, **changed: Any) -> dict[str, Any]:
        trainjob.run(self.job(**changed), self.target, self.cluster)
        return tables.read_json(self.target / REPORT)

    def finish(self, job: dict[str, Any] | None = None) -> None:
        """What the nodes leave on the shared folder."""
        result = self.shared / "result" if job is None else Path(job["spec"]["trainer"]["args"][1])
        result.mkdir(parents=True)
        tables.write_json(result / REPORT, {"pays": True})
        (result / "model.safetensors").write_bytes(b"weights")


@pytest.fixture
def world(tmp_path: Path, weights: Path, served: tuple[Api, TrainJobs]) -> World:
    return World(tmp_path, weights, served)


def test_a_job_is_created_followed_taken_and_removed(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    handed: list[Job] = []

    def created(job: dict[str, Any]) -> None:
        handed.append(Job.read(Path(job["spec"]["trainer"]["args"][0])))
        world.finish(job)

    world.api.created = created
    world.api.pods = [pod(f"{NAME}-node-0-0-abcde"), pod(f"{NAME}-node-0-1-fghij", 1)]
    world.api.logs = {f"{NAME}-node-0-0-abcde": "step 1\nstep 2"}
    counts = {"name": "node", "active": 2, "ready": 1, "succeeded": 0, "failed": 0, "suspended": 0}
    running = {"jobsStatus": [counts]}
    queued = holds("Suspended", "Suspended", "TrainJob is suspended")
    world.api.statuses = [{}, queued, running, running, holds("Complete")]
    assert world.run() == {"pays": True}
    assert (world.target / "model.safetensors").read_bytes() == b"weights"
    assert world.api.verbs() == ["POST", "DELETE"]
    assert not world.api.jobs and not world.shared.exists()
    told = caplog.text
    for part in (f"TrainJob {NAME} was created in namespace ml", "not started yet"):
        assert told.count(part) == 1
    assert told.count("suspended (Suspended: TrainJob is suspended)") == 1
    assert told.count("node: 2 active, 1 ready, 0 failed") == 1
    assert told.count("step 1") == told.count("step 2") == 1
    # The nodes get the weights themselves and no setting that would start a further job.
    (job,) = handed
    original = world.job()
    assert job.texts.distinct == original.texts.distinct and job.rows.equals(original.rows)
    assert job.texts.row.tolist() == original.texts.row.tolist()
    assert job.events.equals(original.events)
    assert job.config.encoder.tune is not None and job.config.encoder.tune.trainjob is None
    assert str(job.config.encoder.model).startswith(str(world.mount))
    assert job.config.encoder.prompt == "passage: "


def test_the_nodes_train_the_same_weights(world: World) -> None:
    def created(job: dict[str, Any]) -> None:
        handed = Job.read(Path(job["spec"]["trainer"]["args"][0])).config.encoder
        ours = load_backbone(world.job().config.encoder)
        theirs = load_backbone(handed)
        assert weights_hash(ours[0]) == weights_hash(theirs[0])
        assert ours[1]("a star")["input_ids"] == theirs[1]("a star")["input_ids"]
        world.finish(job)

    world.api.created = created
    world.api.statuses = [holds("Complete")]
    world.run()


@pytest.mark.parametrize("conflict", [False, True])
def test_a_step_that_is_started_again_waits_for_its_job(world: World, conflict: bool) -> None:
    there = {"apiVersion": "v1", "kind": "TrainJob", "metadata": {"name": NAME}}
    if conflict:
        # Another step creates it between our look and our request.
        world.api.creating = lambda: world.api.jobs.update({NAME: there})
    else:
        world.api.jobs[NAME] = there
    world.api.statuses = [{}, {}, holds("Complete")]
    world.api.looked = lambda status: world.finish() if status == holds("Complete") else None
    assert world.run() == {"pays": True}
    assert world.api.verbs() == (["POST", "DELETE"] if conflict else ["DELETE"])


def test_a_result_that_is_there_already_needs_no_job(world: World) -> None:
    world.finish()
    assert world.run() == {"pays": True}
    assert world.api.verbs() == ["DELETE"]


@pytest.mark.parametrize("kind", ["Failed", "Complete"])
def test_a_job_that_ended_without_a_result_is_replaced(
    world: World, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    world.api.jobs[NAME] = {"metadata": {"name": NAME}}
    world.api.statuses = [holds(kind, "Why", "because"), holds("Complete")]
    world.api.lingering = 3
    world.api.created = world.finish
    assert world.run() == {"pays": True}
    assert world.api.verbs() == ["DELETE", "POST", "DELETE"]
    assert "of an earlier attempt is replaced; it ended as Why: because" in caplog.text


def test_a_failure_shows_the_pod_that_failed_first(world: World) -> None:
    early, late = f"{NAME}-node-0-1-a", f"{NAME}-node-0-0-b"
    stamp = {"startedAt": "2026-01-01T00:00:00Z", "reason": "Error"}
    world.api.pods = [
        pod(
            late,
            containerStatuses=container(
                terminated=stamp | {"exitCode": 1, "finishedAt": "2026-01-01T00:02:00Z"}
            ),
        ),
        pod(
            early,
            1,
            containerStatuses=container(
                terminated=stamp | {"exitCode": 137, "finishedAt": "2026-01-01T00:01:00Z"}
            ),
        ),
    ]
    lines = [f"line {number}" for number in range(50)]
    world.api.logs = {early: "\n".join([*lines, "out of memory"]), late: "connection closed"}
    world.api.statuses = [{}, holds("Failed", "JobsFailed", "jobset failed")]
    with pytest.raises(SetupError) as caught:
        world.run()
    text = str(caught.value)
    assert f"{NAME} in namespace ml failed: JobsFailed: jobset failed" in text
    assert f"pod {early}" in text and "out of memory" in text and "line 31" in text
    assert "line 30" not in text and "connection closed" not in text
    assert f"kubectl -n ml describe trainjob {NAME}" in text
    # It is kept, and so is what it had to work with.
    assert NAME in world.api.jobs and (world.shared / "job.json").is_file()
    assert not world.target.exists()


def test_a_failure_is_told_without_the_right_to_read_logs(world: World) -> None:
    world.api.refused = {("GET", "/pods$"): (403, "pods is forbidden")}
    world.api.statuses = [{}, holds("Failed", "DeadlineExceeded", "too long")]
    with pytest.raises(SetupError, match="DeadlineExceeded: too long") as caught:
        world.run()
    assert "pods is forbidden" in str(caught.value)


def test_a_timeout_says_what_the_job_waits_for(world: World) -> None:
    unschedulable = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
    waiting = {"reason": "ImagePullBackOff", "message": "no such image"}
    world.api.pods = [
        pod(f"{NAME}-node-0-0-a", conditions=[unschedulable | {"message": "0/3 nodes: gpu"}]),
        pod(f"{NAME}-node-0-1-b", 1, containerStatuses=container(waiting=waiting)),
    ]
    with pytest.raises(ServerError) as caught:
        world.run(timeout_seconds=1)
    text = str(caught.value)
    for part in ("within 1 s", "not started yet", "0/3 nodes: gpu", "no such image", "It is kept"):
        assert part in text
    assert world.api.jobs[NAME]["spec"]["activeDeadlineSeconds"] == 1


def test_a_job_that_somebody_deletes_is_reported(world: World) -> None:
    world.api.created = lambda job: world.api.jobs.clear()
    with pytest.raises(SetupError, match="was deleted before it ended"):
        world.run()


def test_two_steps_may_wait_for_one_job(world: World) -> None:
    """The other one has taken the result and cleaned up."""

    def created(job: dict[str, Any]) -> None:
        world.api.jobs.clear()
        world.target.mkdir(parents=True)
        tables.write_json(world.target / REPORT, {"pays": False})

    world.api.created = created
    assert world.run() == {"pays": False}


def test_a_complete_job_whose_result_is_not_seen(world: World) -> None:
    world.api.statuses = [holds("Complete")]
    with pytest.raises(SetupError, match=r"is complete, but .* is not seen here") as caught:
        world.run()
    assert "ReadWriteMany" in str(caught.value)


@pytest.mark.parametrize(
    ("status", "message", "said"),
    [
        (403, "User cannot create trainjobs", "may not create .* k8s/components/trainjob gives"),
        (403, 'admission webhook "v" denied: no runtime', "refuses to create .*no runtime"),
        (404, "could not find the resource", "needs Kubeflow Trainer 2.2 or later"),
        (400, 'unknown field "spec.runtimePatches"', "An unknown field means .* before 2.2"),
        (422, "spec.trainer: Invalid value", "refuses to create .*Invalid value"),
    ],
)
def test_what_the_cluster_refuses(world: World, status: int, message: str, said: str) -> None:
    world.api.refused = {("POST", "trainjobs"): (status, message)}
    with pytest.raises(SetupError, match=said) as caught:
        world.run()
    assert message in str(caught.value) and "ml" in str(caught.value)
    assert not world.api.jobs


def test_an_api_server_that_is_away_for_a_while_is_waited_for(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    answer, looks = world.api._one, iter(range(99))

    def one(verb: str, name: str) -> Any:
        return (503, "leader changed") if next(looks) in (1, 2) else answer(verb, name)

    world.api._one = one  # type: ignore[method-assign]
    world.api.created = world.finish
    world.api.statuses = [holds("Complete")]
    assert world.run() == {"pays": True}
    assert caplog.text.count("leader changed") == 1


def test_where_it_runs_does_not_count_in_the_key(world: World) -> None:
    job = world.job()
    encoder = job.config.encoder
    assert encoder.tune is not None
    here = {"tune": encoder.tune.model_copy(update={"trainjob": None, "processes": 1})}
    config = job.config.model_copy(update={"encoder": encoder.model_copy(update=here)})
    assert replace(job, config=config).key("0") == job.key("0") == world.job(nodes=9).key("0")


def test_what_only_a_compiled_pipeline_knows(world: World) -> None:
    with pytest.raises(ConfigError) as caught:
        world.run(image=None, claim=None, node=None)
    assert len(caught.value.faults) == 3
    assert all("A compiled pipeline takes it from 'cluster'" in f for f in caught.value.faults)
    assert not world.api.seen


def test_a_claim_that_is_not_mounted(world: World) -> None:
    with pytest.raises(SetupError, match="the step must mount the claim counterpoint-state"):
        world.run(mount_path="/nowhere/var")


def test_the_training_run_chooses_the_cluster(world: World, tmp_path: Path) -> None:
    """With a TrainJob configured no process is started here, whatever ``processes`` says."""
    with pytest.raises(SetupError, match="this process is no pod of a cluster"):
        launch.run(world.job(), world.target, tmp_path / "work")
    assert not (tmp_path / "work").exists()


def test_the_namespace_and_the_account_are_those_of_the_pod(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    (tmp_path / "token").write_text("abc", "utf-8")
    (tmp_path / "namespace").write_text("team-a\n", "utf-8")
    shutil.copy(certifi.where(), tmp_path / "ca.crt")
    found = trainjob_api.in_cluster(None, account=tmp_path)
    assert found.namespace == "team-a"
    used = found._api.configuration
    assert used.host == "https://10.0.0.1:443" and used.verify_ssl
    assert used.get_api_key_with_prefix("authorization") == "bearer abc"
    assert trainjob_api.in_cluster("team-b", account=tmp_path).namespace == "team-b"
    (tmp_path / "token").unlink()
    with pytest.raises(SetupError, match="no pod of a cluster"):
        trainjob_api.in_cluster(None, account=tmp_path)


@pytest.mark.parametrize(
    ("before", "now", "new"),
    [
        ([], ["a"], ["a"]),
        (["a"], ["a"], []),
        (["a", "b"], ["b", "b", "c"], ["b", "c"]),
        (["a", "a"], ["a", "a", "a"], ["a"]),
        (["a", "b"], ["c"], ["c"]),
        (["a", "b"], [], []),
    ],
)
def test_lines_of_a_log_are_told_once(before: list[str], now: list[str], new: list[str]) -> None:
    assert trainjob_waiting.new_lines(before, now) == new
