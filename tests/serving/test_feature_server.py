"""Known users over HTTP: answers, and every way in which the feature server can fail."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

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
    """Answer as Feast's ``POST /get-online-features`` does: one column per feature."""
    names = ["history", "history_positive", "attributes"]
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
        self.requests = 0
        self.headers: dict[str, str] = {}

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                outer.requests += 1
                outer.headers = {name.lower(): value for name, value in self.headers.items()}
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                assert self.path == "/get-online-features"
                assert body["feature_service"] == "recommender_v1"
                content = outer.answer(self, body["entities"]["user_id"])
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


def test_fresh_features_are_used(models: InProcess) -> None:
    answer = ask(models, user_id="anna")
    same = ask(models, history=["a", "f"], attributes=["gender=F"])
    assert answer["item_id"] == same["item_id"]
    assert answer["source"] == ["known_user"]
    assert answer["degraded"] == [False]
    assert ask(models, user_id="fresh")["source"] == ["known_user"]
    assert ask(models, user_id="nobody")["source"] == ["start_page"]


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
        lambda handler, users: b'{"metadata": {"feature_names": ["x"]}, "results": []}',
        slow,
    ],
    ids=["status 500", "no JSON", "other JSON", "columns missing", "too slow"],
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
