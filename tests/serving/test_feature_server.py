"""Known users over HTTP: answers, and every way in which the feature server can fail."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from serving.feature_server import FeatureServer, FeatureServerDown
from serving.in_process import InProcess
from tests.serving.conftest import in_process
from tests.serving.test_recommend import ask

STORE = {
    # Fresher than the snapshot, with an item that the version does not know.
    "anna": {
        "history": ["a", "newer than the model", "f"],
        "history_positive": [True, True, True],
        "attributes": ["gender=F"],
    },
    "fresh": {"history": ["b"], "history_positive": [True], "attributes": None},
}
Answer = Callable[[BaseHTTPRequestHandler, list[str]], bytes]


def features(handler: BaseHTTPRequestHandler, users: list[str]) -> bytes:
    """Answer as ``POST /users`` or as Feast's ``POST /get-online-features`` does."""
    names = ["history", "history_positive", "attributes"]
    if handler.path == "/users":
        rows = [[STORE[u][name] for name in names] if u in STORE else None for u in users]
        return json.dumps({"features": names, "users": rows}).encode()
    columns: list[list[object]] = [list(users)]
    columns += [[STORE.get(user, {}).get(name) for user in users] for name in names]
    return json.dumps(
        {
            "metadata": {"feature_names": ["user_id", *names]},
            "results": [{"values": values} for values in columns],
        }
    ).encode()


class Server:
    """An HTTP server whose answer a test chooses."""

    def __init__(self) -> None:
        outer = self
        self.answer: Answer = features
        self.has_users = True
        self.requests = 0
        self.paths: list[str] = []
        self.headers: dict[str, str] = {}

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                outer.requests += 1
                outer.headers = {name.lower(): value for name, value in self.headers.items()}
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.paths.append(self.path)
                if self.path == "/users":
                    service, users = body["service"], body["users"]
                else:
                    assert self.path == "/get-online-features"
                    service, users = body["feature_service"], body["entities"]["user_id"]
                assert service == "recommender_v1"
                if self.path == "/users" and not outer.has_users:
                    status, content = 404, b'{"detail":"Not Found"}'
                else:
                    content = outer.answer(self, users)
                    status = 500 if content == b"fault" else 200
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def feast() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture
def models(feast: Server, folders: dict[str, Path], tmp_path: Path) -> InProcess:
    options = {
        "version": "v1",
        "feature_server": feast.address,
        "feature_service": "recommender_v1",
        "feature_timeout": "0.5",
    }
    return in_process(folders, tmp_path / "models", options)


@pytest.mark.parametrize("has_users", [True, False], ids=["fast route", "Feast's route"])
def test_fresh_features_are_used(models: InProcess, feast: Server, has_users: bool) -> None:
    feast.has_users = has_users
    answer = ask(models, user_id="anna")
    same = ask(models, history=["a", "f"], attributes=["gender=F"])
    assert answer["item_id"] == same["item_id"]
    assert answer["source"] == ["known_user"]
    assert answer["degraded"] == [False]
    assert ask(models, user_id="fresh")["source"] == ["known_user"]
    assert ask(models, user_id="nobody")["source"] == ["start_page"]
    # A plain Feast server is asked once for the route it lacks.
    fast, plain = "/users", "/get-online-features"
    assert feast.paths == ([fast] * 3 if has_users else [fast, *[plain] * 3])


def test_requests_without_a_user_do_not_ask(models: InProcess, feast: Server) -> None:
    assert ask(models, history=["a"])["degraded"] == [False]
    assert feast.requests == 0


def slow(handler: BaseHTTPRequestHandler, users: list[str]) -> bytes:
    time.sleep(1.5)
    return features(handler, users)


@pytest.mark.parametrize(
    "answer",
    [
        lambda handler, users: b"fault",
        lambda handler, users: b"not json",
        lambda handler, users: b"[]",
        lambda handler, users: b'{"features": ["history"], "users": []}',
        lambda handler, users: b'{"features": ["history"], "users": [[1, 2]]}',
        slow,
    ],
    ids=["status 500", "no JSON", "other JSON", "rows missing", "row too long", "too slow"],
)
def test_a_failing_server_leaves_the_snapshot(
    models: InProcess, feast: Server, local: InProcess, answer: Answer
) -> None:
    feast.answer = answer
    degraded = ask(models, user_id="anna")
    assert degraded["degraded"] == [True]
    assert degraded["source"] == ["known_user"]
    assert degraded["item_id"] == ask(local, user_id="anna")["item_id"]
    # An outage costs one attempt, not one per request.
    ask(models, user_id="anna")
    assert feast.requests == 1


def test_a_list_that_does_not_fit_leaves_the_snapshot(
    models: InProcess, feast: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(STORE["anna"], "history_positive", [True])
    broken = ask(models, user_id="anna")
    assert broken["degraded"] == [True]
    assert broken["source"] == ["known_user"]
    assert ask(models, user_id="fresh")["degraded"] == [False]


def test_a_server_that_is_gone_leaves_the_snapshot(models: InProcess, feast: Server) -> None:
    feast.close()
    answer = ask(models, user_id="anna")
    assert answer["degraded"] == [True]
    assert answer["source"] == ["known_user"]


def test_without_a_snapshot_the_request_is_answered(models: InProcess, feast: Server) -> None:
    feast.close()
    asked = {"user_id": "fresh", "history": ["a"]}
    assert [ask(models, **asked)[name] for name in ("source", "degraded")] == [["history"], [True]]
    start_page = ask(models, user_id="fresh")
    assert [start_page[name] for name in ("source", "degraded")] == [["start_page"], [True]]


def drip(connection: socket.socket, stop: threading.Event) -> None:
    """Answer one byte at a time, each well within the timeout, for ever."""
    text = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"
    for byte in text + b" " * 1_000_000:
        if stop.wait(0.02):
            return
        connection.sendall(bytes([byte]))


def silence(connection: socket.socket, stop: threading.Event) -> None:
    stop.wait()


@pytest.mark.parametrize("behave", [drip, silence])
def test_the_timeout_is_a_deadline_of_the_whole_lookup(
    behave: Callable[[socket.socket, threading.Event], None],
) -> None:
    """The server would hold a lookup for hours: the test ends only if the deadline holds."""
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                with contextlib.suppress(OSError):
                    behave(connection, stop)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        server = FeatureServer(address, service="recommender_v1", timeout=0.3)
        with pytest.raises(FeatureServerDown, match=r"timed out|deadline"):
            server.get(["anna"])
        stop.set()
        thread.join()


def test_a_name_that_cannot_be_looked_up_in_time_is_no_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hanging = threading.Event()

    def look_up(*_: object) -> None:
        hanging.wait()
        raise OSError("unknown name")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    server = FeatureServer("features:6566", service="recommender_v1", timeout=0.1)
    with pytest.raises(FeatureServerDown, match="no connection to features:6566 in time"):
        server.get(["anna"])
    hanging.set()


def test_a_connection_that_the_server_closed_is_made_anew(feast: Server) -> None:
    server = FeatureServer(feast.address, service="recommender_v1", timeout=5)

    def closing(handler: BaseHTTPRequestHandler, users: list[str]) -> bytes:
        handler.close_connection = True
        return features(handler, users)

    feast.answer = closing
    for _ in range(3):
        assert set(server.get(["anna", "nobody"])) == {"anna"}


def test_many_threads_may_ask(feast: Server) -> None:
    server = FeatureServer(feast.address, service="recommender_v1", timeout=30)
    with ThreadPoolExecutor(8) as pool:
        users = ["anna", "fresh"] * 40
        answers = list(pool.map(lambda user: server.get([user]), users))
    assert [list(answer) for answer in answers] == [[user] for user in users]
