"""Live items on the real tritonserver: the client, the command line, restarts and kills."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from counterpoint.config.serve import DeployConfig
from counterpoint.errors import DataError, ServerError
from counterpoint.live_items import LiveItem
from counterpoint.live_store import LiveStore
from serving.client import RecommendClient
from serving.deploy import DeployResult
from serving.live_items import LiveItemsClient
from serving.serve import champion_server
from serving.server import TritonServer
from tests.serving.conftest import in_process
from tests.serving.test_catalogue import ask, shown

NEW = {"item_id": "neu 🎬", "title": "drama space", "attributes": ["genre=Drama"]}


@pytest.fixture(scope="module")
def config(
    deployed: tuple[DeployConfig, DeployResult], tmp_path_factory: pytest.TempPathFactory
) -> DeployConfig:
    """The deployed version with a store of its own."""
    state = tmp_path_factory.mktemp("live")
    changes = {"triton": str(state / "triton"), "live_items": str(state / "items.sqlite")}
    return deployed[0].model_copy(update=changes)


@pytest.fixture(scope="module")
def running(config: DeployConfig) -> Iterator[TritonServer]:
    with champion_server(config) as server:
        yield server


@pytest.fixture
def items(running: TritonServer) -> Iterator[LiveItemsClient]:
    with LiveItemsClient(running.url) as client:
        yield client


def recommended(server: TritonServer, **fields: object) -> dict[str, float]:
    with RecommendClient(server.url, timeout=30) as client:
        answer = client.recommend(k=20, **fields)  # type: ignore[arg-type]
    return {item.item_id: item.score for item in answer.items}


def counterpoint(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipelines.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_the_server_recommends_it_as_this_process_does(
    running, items, config, folders, tmp_path: Path
) -> None:
    (answer,) = items.add([NEW])
    found = recommended(running, history=["a", "b"])
    assert answer["text_known"] and NEW["item_id"] in found
    assert config.live_items is not None
    options = {"version": "v1", "live_items": config.live_items}
    here = in_process(folders, tmp_path / "models", options)
    assert found == pytest.approx(shown(ask(here, history=["a", "b"])), abs=1e-5)
    items.remove([str(NEW["item_id"]), "e"])
    assert not {NEW["item_id"], "e"} & recommended(running, history=["a", "b"]).keys()
    assert items.get("e")["removed_at"]
    items.add([{"item_id": "e"}])
    assert "e" in recommended(running, history=["a", "b"])


def test_the_command_line_adds_lists_and_removes(running, tmp_path: Path) -> None:
    url = ("--url", running.url)
    one = counterpoint(
        *("add-item", "--item-id", "cli", "--title", "drama", "--attribute", "genre=Drama"), *url
    )
    assert one.returncode == 0, one.stderr
    assert "added 'cli'; text known" in one.stdout and "can be recommended" in one.stdout
    assert "cli" in recommended(running)
    again = counterpoint("add-item", "--item-id", "cli", *url)
    assert again.returncode == 3 and "item_id: 'cli' is in the catalogue" in again.stderr
    file = tmp_path / "items.csv"
    file.write_text(
        "item_id,title,genre,available_until\ncli,Other,Drama,\ncsv,New,Comedy|Drama,\n"
    )
    many = counterpoint("add-item", "--file", str(file), "--replace", *url)
    assert many.returncode == 0, many.stderr
    assert "changed 'cli'" in many.stdout and "added 'csv'" in many.stdout
    listed = counterpoint("live-items", "list", *url).stdout
    assert "csv" in listed and "genre=Comedy|Drama" in listed and "Other" in listed
    gone = counterpoint("remove-item", "cli", "csv", *url)
    assert gone.returncode == 0 and "Removed cli, csv" in gone.stdout
    assert not {"cli", "csv"} & recommended(running).keys()


def test_a_malformed_item_names_its_field(items) -> None:
    with pytest.raises(DataError, match=r"available_from: 'soon' is not a time"):
        items.add([{"item_id": "x", "available_from": "soon"}])
    with pytest.raises(DataError, match=r"price: unknown field"):
        items.add([{"item_id": "x", "price": 3}])


def test_writers_at_once_lose_nothing(running, items, config) -> None:
    def add(worker: int) -> None:
        with LiveItemsClient(running.url) as client:
            for number in range(10):
                client.add([{"item_id": f"w{worker}-{number}", "title": "drama"}])

    store = LiveStore(Path(str(config.live_items)))
    with ThreadPoolExecutor(4) as pool:
        work = [pool.submit(add, worker) for worker in range(4)]
        store.put([LiveItem(f"beside-{n}", "space") for n in range(10)])
        for done in work:
            done.result()
    wanted = {f"w{w}-{n}" for w in range(4) for n in range(10)} | {f"beside-{n}" for n in range(10)}
    items.await_known(sorted(wanted))
    assert wanted <= {item["item_id"] for item in items.items()}
    items.remove(sorted(wanted))


def test_a_killed_server_has_every_acknowledged_item_after_its_restart(
    config: DeployConfig, tmp_path: Path
) -> None:
    own = config.model_copy(
        update={"triton": str(tmp_path), "live_items": str(tmp_path / "items.sqlite")}
    )
    acknowledged: list[str] = []
    enough = threading.Event()

    def add(url: str) -> None:
        with LiveItemsClient(url, timeout=10) as client:
            for number in range(100_000):
                client.add([{"item_id": f"{number}{half}", "title": "drama"} for half in "ab"])
                acknowledged.append(str(number))
                if number == 10:
                    enough.set()

    with champion_server(own) as server, ThreadPoolExecutor(1) as pool:
        work = pool.submit(add, server.url)
        assert enough.wait(60)
        for pid in members(server):
            os.kill(pid, signal.SIGKILL)
        with pytest.raises(ServerError):
            work.result()
    with champion_server(own) as server, LiveItemsClient(server.url) as client:
        found = {item["item_id"] for item in client.items()}
        assert {f"{number}{half}" for number in acknowledged for half in "ab"} <= found
        assert len(found) % 2 == 0  # No half of a request.
        client.await_known(sorted(found))
        assert found & recommended(server, history=["a"]).keys()
        client.add([NEW])
        client.await_known([str(NEW["item_id"])])


def members(server: TritonServer) -> list[int]:
    """The processes of a server, supervisor left out."""
    assert server._process is not None
    leader = server._process.pid
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [pid for pid in pids if pid != leader and _group(pid) == leader]


def _group(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


def test_a_store_written_without_a_server_counts_in_a_running_one(running, config) -> None:
    store = str(config.live_items)
    done = counterpoint("add-item", "--item-id", "offline", "--title", "drama", "--store", store)
    assert done.returncode == 0 and "added 'offline'" in done.stdout, done.stderr
    with LiveItemsClient(running.url) as client:
        client.await_known(["offline"])
    assert "offline" in recommended(running)
    assert counterpoint("remove-item", "offline", "--store", store).returncode == 0
    assert "offline" not in recommended(running)
    assert "offline" in counterpoint("live-items", "list", "--removed", "--store", store).stdout


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("add-item",), 2, "--item-id"),
        (("add-item", "--item-id", "x", "--file", "y.csv"), 2, "--file"),
        (("add-item", "--item-id", "x", "--url", "127.0.0.1:9"), 6, "counterpoint serve"),
        (("add-item", "--file", "none.csv"), 3, "none.csv"),
        (("add-item", "--file", "none.txt"), 3, ".parquet"),
        (("remove-item", " "), 3, "item_id"),
        (("live-items", "list", "--store", "none.sqlite"), 3, "does not exist"),
        (("add-item", "--item-id", "x", "--attribute", "Drama", "--store", "s"), 3, "attributes"),
    ],
)
def test_mistakes_are_told(arguments: tuple[str, ...], status: int, message: str) -> None:
    done = counterpoint(*arguments)
    assert done.returncode == status
    assert message in done.stderr and "Traceback" not in done.stderr
