"""The server that keeps live items for several machines, as a program, and its readers."""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from counterpoint import live_ingest
from counterpoint.errors import DataError
from counterpoint.live_exchange import LiveItemsServer
from counterpoint.live_items import FaultyItem, LiveItem
from counterpoint.live_store import UnusableStore
from serving.engine import mirror
from serving.engine.mirror import MirroredStore
from serving.in_process import InProcess
from serving.live_items import LiveItemsClient
from serving.serve import champion_server
from serving.server import HOST, Ports, choose
from tests.serving.conftest import in_process
from tests.serving.test_catalogue import ask, change, shown
from tests.serving.test_live_server import recommended

NEW = {"item_id": "neu", "title": "drama space", "attributes": ["genre=Drama"]}


@dataclass
class Program:
    """The server as a program, which can be killed and started again."""

    file: Path
    port: int = field(default_factory=lambda: choose(Ports()).http)
    process: "subprocess.Popen[str] | None" = None

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}"

    def start(self) -> None:
        command = [sys.executable, "-m", "pipelines.cli", "live-items-server"]
        command += ["--file", str(self.file), "--port", str(self.port)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("Live items server of"), line

    def stop(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        os.kill(self.process.pid, number)
        with self.process:
            return self.process.wait(30)


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    running = Program(tmp_path / "shared" / "items.sqlite")
    running.start()
    yield running
    for followed in mirror._following.values():
        followed.end()
    mirror._following.clear()
    if running.process is not None and running.process.poll() is None:
        running.stop()


def machine(program: Program, folders: dict[str, Path], folder: Path) -> InProcess:
    """The models of one machine, in this process."""
    options = {
        "version": "v1",
        "live_items": str(folder / "items.sqlite"),
        "live_items_server": program.address,
    }
    return in_process(folders, folder / "models", options)


def soon(true: Callable[[], bool], seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def test_an_item_added_on_one_machine_is_recommended_by_all(program, folders, tmp_path) -> None:
    one, other = (machine(program, folders, tmp_path / name) for name in ("one", "other"))
    change(one, "add", NEW)
    here = shown(ask(one, history=["a", "b"]))
    assert "neu" in here
    started = time.monotonic()
    assert soon(lambda: "neu" in shown(ask(other, history=["a", "b"])))
    assert time.monotonic() - started < 5
    assert shown(ask(other, history=["a", "b"])) == pytest.approx(here, abs=1e-6)
    with pytest.raises(Exception, match="'neu' is in the catalogue already"):
        change(other, "add", NEW)
    with pytest.raises(Exception, match="'a' is in the catalogue already"):
        change(other, "add", {"item_id": "a"})
    change(other, "remove", {"item_id": "neu"}, {"item_id": "e"})
    assert soon(lambda: not {"neu", "e"} & shown(ask(one, history=["a", "b"])).keys())
    (listed,) = change(one, "list", {"removed": True})
    assert {row["item_id"] for row in listed["items"]} == {"neu", "e"}


def test_a_machine_answers_from_its_copy_while_the_server_is_away(
    program, folders, tmp_path
) -> None:
    models = machine(program, folders, tmp_path / "one")
    change(models, "add", NEW)
    program.stop(signal.SIGKILL)
    assert "neu" in shown(ask(models, history=["a", "b"]))
    with pytest.raises(Exception, match=r"server of live items at .* cannot be used"):
        change(models, "add", {"item_id": "later", "title": "space"})
    (listed,) = change(models, "list", {})
    assert [row["item_id"] for row in listed["items"]] == ["neu"]
    program.start()
    LiveItemsServer(program.address).put([LiveItem("later", "space")], [], replace=False, known=[])
    assert soon(lambda: "later" in shown(ask(models, history=["a", "b"])))
    assert {"neu", "later"} <= shown(ask(models, history=["a", "b"])).keys()


def test_what_was_acknowledged_outlives_a_kill(program: Program, tmp_path: Path) -> None:
    server = LiveItemsServer(program.address)
    for number in range(20):
        server.put([LiveItem(str(number))], [], replace=False, known=[])
    program.stop(signal.SIGKILL)
    program.start()
    found = live_ingest.read(f"http://{program.address}")
    assert {row.item.item_id for row in found} == {str(number) for number in range(20)}


def test_training_reads_them_from_the_server(program: Program) -> None:
    server = LiveItemsServer(program.address)
    items = [LiveItem(f"i{n}", f"title {n}") for n in range(2_500)]
    server.put(items, [], replace=False, known=[])
    server.remove(["i7"])
    found = live_ingest.read(f"http://{program.address}")
    assert len(found) == 2_500
    assert [row.item.item_id for row in found if row.removed_at] == ["i7"]
    program.stop()
    with pytest.raises(DataError, match=r"server of live items .*ingest.live_items to null"):
        live_ingest.read(f"http://{program.address}")


def test_a_store_of_its_own_begins_with_what_the_server_has(program, tmp_path: Path) -> None:
    LiveItemsServer(program.address).put([LiveItem("a")], [], replace=False, known=[])
    store = MirroredStore(tmp_path / "copy.sqlite", program.address)
    assert [row.item.item_id for row in store.since()] == ["a"]
    with pytest.raises(FaultyItem, match="'b' is in the catalogue"):
        store.put([LiveItem("b")], known=lambda item: item == "b")
    ((what, _),) = store.put([LiveItem("b")], replace=True, known=lambda item: item == "b")
    assert what == "changed" and store.get("b") is not None


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/changes", "{", 400),
        ("/changes", "[]", 400),
        ("/changes", "{}", 400),
        ("/changes", '{"after": "soon"}', 400),
        ("/put", '{"items": [{}], "vectors": [], "replace": false, "known": []}', 400),
        ("/put", '{"items": 5, "vectors": [], "replace": false, "known": []}', 400),
        ("/remove", '{"item_ids": [""]}', 422),
        ("/remove", '{"item_ids": [5]}', 422),
        ("/elsewhere", "{}", 404),
    ],
)
def test_a_malformed_request_is_told_and_ends_nothing(
    shared: Program, path: str, body: str, status: int
) -> None:
    connection = http.client.HTTPConnection(shared.address, timeout=10)
    connection.request("POST", path, body)
    response = connection.getresponse()
    assert response.status == status and json.loads(response.read())["error"]
    connection.request("GET", "/health")
    assert connection.getresponse().status == 200
    connection.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    running = Program(tmp_path_factory.mktemp("server") / "items.sqlite")
    running.start()
    yield running
    assert running.stop() == 0


def test_a_taken_port_and_an_unusable_file_are_told(shared: Program, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no database" * 100)
    for file, port, said in (
        (tmp_path / "new", shared.port, f"cannot listen on port {shared.port}"),
        (tmp_path / "text", 0, "cannot be used"),
    ):
        command = [sys.executable, "-m", "pipelines.cli", "live-items-server"]
        command += ["--file", str(file), "--port", str(port)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode in (3, 7) and said in " ".join(done.stderr.split())
        assert "Traceback" not in done.stderr


def test_nobody_there_is_told_at_once() -> None:
    server = LiveItemsServer(f"{HOST}:{choose(Ports()).http}")
    with pytest.raises(UnusableStore, match=r"server of live items at .*deploy.live_items_server"):
        server.changes(0)


def test_two_tritonservers_share_them(program, deployed, folders, tmp_path: Path) -> None:
    changes = {
        "triton": str(tmp_path / "triton"),
        "live_items": str(tmp_path / "items.sqlite"),
        "live_items_server": program.address,
    }
    config = deployed[0].model_copy(update=changes)
    other = machine(program, folders, tmp_path / "other")
    with champion_server(config) as server, LiveItemsClient(server.url) as items:
        items.add([NEW])
        assert "neu" in recommended(server, history=["a", "b"])
        assert soon(lambda: "neu" in shown(ask(other, history=["a", "b"])))
        change(other, "add", {"item_id": "other", "title": "space"})
        assert soon(lambda: "other" in recommended(server, history=["a", "b"]))
