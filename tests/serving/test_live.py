"""Live features for real: feature server, tritonserver, `push-event`, an outage, a new version."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import polars as pl
import pytest

from counterpoint import columns
from counterpoint.config.serve import DeployConfig
from counterpoint.tables import Tables, conform
from feature_repo.store import release_duckdb
from serving.client import RecommendClient
from serving.deploy import DeployResult
from serving.feature_process import FeatureServerProcess
from serving.serve import champion_server
from tests.counterpoint import logs
from tests.feature_repo.publishing import publish
from tests.serving import tiny

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def quiet_exit() -> Iterator[None]:
    yield
    release_duckdb()


START = datetime(2020, 1, 1, tzinfo=UTC)


def source(events: list[tuple[str, str]]) -> Tables:
    """Tables of liked (user, item), one a second."""
    log = pl.DataFrame(
        [
            (row, user, item, START + timedelta(seconds=row), "click", None, True)
            for row, (user, item) in enumerate(events)
        ],
        schema=columns.INTERACTIONS,
        orient="row",
    )
    users = pl.DataFrame({columns.USER: ["anna"], columns.ATTRIBUTES: [["gender=F"]]})
    items = pl.DataFrame({columns.ITEM: tiny.ITEMS})
    return logs.ordered(
        Tables(
            log,
            conform(items, columns.ITEMS, table="items"),
            conform(users, columns.USERS, table="users"),
        ),
        logs.config(),
    )


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("feast state")
    publish(root, "first", source([("anna", "a"), ("anna", "b"), ("zoe", "e")]))
    return root


@pytest.fixture(scope="module")
def features(
    state: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FeatureServerProcess]:
    log = tmp_path_factory.mktemp("log") / "features.log"
    with FeatureServerProcess(state, port=0, log=log) as running:
        yield running


@pytest.fixture(scope="module")
def live(
    deployed: tuple[DeployConfig, DeployResult],
    features: FeatureServerProcess,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[RecommendClient]:
    config = deployed[0].model_copy(
        update={
            "feature_server": features.address,
            "feature_timeout": 5.0,
            "triton": str(tmp_path_factory.mktemp("triton")),
        }
    )
    with champion_server(config) as server, RecommendClient(server.url, timeout=30) as client:
        yield client


def push(features: FeatureServerProcess, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipelines.cli", "push-event", *arguments]
    return subprocess.run(
        [*command, "--url", f"http://{features.address}"], capture_output=True, text=True
    )


def eventually(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_the_next_answer_counts_a_pushed_event(
    features: FeatureServerProcess, live: RecommendClient
) -> None:
    before = live.recommend(user="anna", k=20)
    assert before.source == "known_user" and not before.degraded
    best = before.items[0].item_id
    done = push(features, "--user", "anna", "--item", best)
    assert done.returncode == 0 and "1 event accepted, 1 history changed" in done.stdout
    after = live.recommend(user="anna", k=20)
    assert {i.item_id for i in after.items} == {i.item_id for i in before.items} - {best}
    # It is history now: it explains items.
    assert best in {reason for item in after.items for reason in item.reasons}
    assert not after.degraded


def test_late_events_take_their_place(
    features: FeatureServerProcess, live: RecommendClient
) -> None:
    for second in (3, 1, 2, 1):
        at = (START + timedelta(seconds=100 + second)).isoformat()
        push(features, "--user", "late", "--item", tiny.ITEMS[second], "--at", at)
    asked = live.recommend(user="late", k=20)
    same = live.recommend(history=tiny.ITEMS[1:4], k=20)
    assert [i.item_id for i in asked.items] == [i.item_id for i in same.items]
    assert [i.score for i in asked.items] == pytest.approx([i.score for i in same.items])


def test_files_of_events_are_pushed(
    features: FeatureServerProcess, live: RecommendClient, tmp_path: Path
) -> None:
    stamps = [START + timedelta(seconds=n) for n in range(3)]
    frame = pl.DataFrame({"item_id": ["a", "f", "no such item"], "timestamp": stamps})
    frame = frame.with_columns(positive=pl.Series([True, False, True]))
    text = frame.with_columns(pl.col("timestamp").dt.to_string("iso:strict"))
    files = {}
    for kind in ("csv", "jsonl", "parquet"):
        mine = pl.lit(f"from {kind}").alias("user_id")
        files[kind] = tmp_path / f"events.{kind}"
        if kind == "csv":
            text.with_columns(mine).write_csv(files[kind])
        elif kind == "jsonl":
            text.with_columns(mine).write_ndjson(files[kind])
        else:
            frame.with_columns(mine).write_parquet(files[kind])
        done = push(features, "--file", str(files[kind]))
        assert done.returncode == 0 and "3 events accepted, 1 history changed" in done.stdout
        assert "Not in the catalogue of the feature store: no such item" in done.stderr
    answers = [live.recommend(user=f"from {kind}", k=20).items for kind in files]
    assert answers[0] == answers[1] == answers[2]
    assert not {"a", "f"} & {item.item_id for item in answers[0]}


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("--user", "u"), 2, "--item must be given"),
        (("--user", "u", "--item", "a", "--at", "noon"), 2, "is not an ISO 8601 time"),
        (("--user", "u", "--item", "a", "--file", "x.csv"), 2, "leave the other options out"),
        (("--file", "x.txt"), 3, "is not a .csv, .jsonl or .parquet file"),
        (("--file", "none.csv"), 3, "none.csv cannot be read"),
        (("--user", "u", "--item", "a", "--at", "2990-01-01"), 3, "events[0].timestamp: "),
    ],
)
def test_mistakes_are_told(
    features: FeatureServerProcess, arguments: tuple[str, ...], status: int, said: str
) -> None:
    done = push(features, *arguments)
    assert (done.returncode, said in " ".join(done.stderr.split())) == (status, True), done.stderr


def test_an_outage_degrades_answers_and_the_server_comes_back(
    features: FeatureServerProcess, live: RecommendClient, state: Path
) -> None:
    push(features, "--user", "before the outage", "--item", "a")
    (process,) = (pid for pid in _children(state) if "feature_repo.server" in _command(pid))
    os.kill(process, signal.SIGKILL)
    eventually(lambda: live.recommend(user="anna").degraded)
    known = live.recommend(user="anna", k=20)
    assert known.source == "known_user" and known.items  # the snapshot of the version
    with_history = live.recommend(user="zoe", history=["e"], k=20)
    assert with_history.source == "history" and with_history.degraded
    eventually(lambda: features.ready)
    eventually(lambda: not live.recommend(user="anna").degraded)
    assert live.recommend(user="zoe", k=20).source == "known_user"
    # What was pushed before outlives the process.
    assert live.recommend(user="before the outage").source == "known_user"


def test_a_new_data_version_is_served(
    features: FeatureServerProcess, live: RecommendClient, state: Path
) -> None:
    push(features, "--user", "anna", "--item", "h")
    events = [("anna", "a"), ("anna", "b"), ("zoe", "e"), ("fresh", "g"), ("anna", "i")]
    publish(state, "second", source(events))
    url = f"http://{features.address}/health"
    eventually(lambda: httpx.get(url).json()["data_version"] == "second")
    assert live.recommend(user="fresh").source == "known_user"
    items = {item.item_id for item in live.recommend(user="anna", k=20).items}
    assert not {"a", "b", "h", "i"} & items


def test_the_process_ends_on_sigterm_and_says_what_is_wrong(state: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "feature_repo.server", "--port", "0"]
    nothing = subprocess.run(
        [*command, "--state", str(tmp_path)], capture_output=True, text=True, timeout=120
    )
    assert nothing.returncode == 7 and "There is no feature store in" in nothing.stderr
    log = tmp_path / "log"
    with log.open("wb") as file:
        running = subprocess.Popen([*command, "--state", str(state)], stderr=file)
    try:
        eventually(lambda: "Feature server of" in log.read_text())
        port = int(log.read_text().split("127.0.0.1:")[1].split(".")[0])
        assert httpx.get(f"http://127.0.0.1:{port}/health").json()["status"] == "ready"
        taken = subprocess.run(
            [*command[:-1], str(port)], capture_output=True, text=True, timeout=120
        )
        assert taken.returncode == 7 and f"cannot listen on port {port}" in taken.stderr
        running.send_signal(signal.SIGTERM)
        assert running.wait(30) == 0
    finally:
        running.kill()


def _children(state: Path) -> list[int]:
    """Processes whose command line names the state folder."""
    found = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [
        pid for pid in found if str(state) in _command(pid) and "supervisor" not in _command(pid)
    ]


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""
