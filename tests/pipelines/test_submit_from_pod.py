"""A run that a pod starts carries the pod's token for Kubeflow Pipelines."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from counterpoint import config
from counterpoint.errors import ServerError
from pipelines import runners


class Refusing(BaseHTTPRequestHandler):
    """Notes the Authorization header of every request and refuses it."""

    def do_GET(self) -> None:
        self.server.seen.append(self.headers["Authorization"])
        self.send_response(401)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        """Stay quiet."""


@pytest.fixture
def refusing():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    server.seen = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("in_pod", [True, False])
def test_token(refusing, in_pod, tmp_path, monkeypatch):
    token = tmp_path / "token"
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(token))
    monkeypatch.setenv("HOME", str(tmp_path))
    if in_pod:
        token.write_text("projected", "utf-8")
    with pytest.raises(ServerError, match="did not take the run: Unauthorized"):
        runners.submit(
            "monitoring",
            config.load(),
            host=f"http://127.0.0.1:{refusing.server_port}",
            experiment="test",
            namespace="counterpoint",
        )
    assert set(refusing.seen) == {"Bearer projected" if in_pod else None}
