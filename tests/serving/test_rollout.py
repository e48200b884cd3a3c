"""The rollout against a real HTTP server that keeps one Deployment as Kubernetes would."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from counterpoint.errors import ServerError, SetupError
from serving import rollout
from serving.pointers import Canary, Pointers

PATH = "/apis/apps/v1/namespaces/ml/deployments/triton"


class Api(BaseHTTPRequestHandler):
    """GET and merge-patch of one Deployment; anything else is 404, a wrong token 403."""

    def do_GET(self) -> None:
        self._answer(self.server.deployment)

    def do_PATCH(self) -> None:
        size = int(self.headers["Content-Length"])
        change = json.loads(self.rfile.read(size))
        if self.headers["Content-Type"] != "application/merge-patch+json":
            self._answer({"message": "unsupported"}, 415)
            return
        self.server.patches.append(change)
        _merge(self.server.deployment, change)
        self._answer(self.server.deployment)

    def _answer(self, body: dict, status: int = 200) -> None:
        if self.headers["Authorization"] != "Bearer good":
            status, body = 403, {"message": "forbidden"}
        elif self.path != PATH:
            status, body = 404, {"message": "not found"}
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Stay quiet."""


def _merge(into: dict, change: dict) -> None:
    for key, value in change.items():
        if isinstance(value, dict):
            _merge(into.setdefault(key, {}), value)
        else:
            into[key] = value


@pytest.fixture
def kubernetes() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    server.deployment = {"spec": {"template": {"metadata": {"annotations": {"other": "kept"}}}}}
    server.patches = []
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def client(server: ThreadingHTTPServer, token: str = "good") -> httpx.Client:
    return httpx.Client(
        base_url=f"http://127.0.0.1:{server.server_port}",
        headers={"Authorization": f"Bearer {token}"},
    )


def test_a_new_version_is_rolled_out_once(kubernetes):
    with client(kubernetes) as api:
        assert rollout.roll_out("v1", "triton", namespace="ml", api=api)
        assert not rollout.roll_out("v1", "triton", namespace="ml", api=api)
        assert rollout.roll_out("v2", "triton", namespace="ml", api=api)
    assert len(kubernetes.patches) == 2
    annotations = kubernetes.deployment["spec"]["template"]["metadata"]["annotations"]
    assert annotations == {"other": "kept", rollout.ANNOTATION: "v2"}


def test_a_canary_and_its_share_are_rolled_out(kubernetes):
    """The annotation covers all pointers: a pod is replaced whenever one of them changes."""
    shown = []
    with client(kubernetes) as api:
        for share in (0.1, 0.1, 0.2):
            wanted = Pointers("v1", Canary("v2", share, "s"), "v3").text()
            shown.append(rollout.roll_out(wanted, "triton", namespace="ml", api=api))
    assert shown == [True, False, True]
    annotations = kubernetes.deployment["spec"]["template"]["metadata"]["annotations"]
    assert Pointers.parse(annotations[rollout.ANNOTATION]) == Pointers(
        "v1", Canary("v2", 0.2, "s"), "v3"
    )


def test_a_refusal_names_the_role(kubernetes):
    with (
        client(kubernetes, token="bad") as api,
        pytest.raises(ServerError, match=r"403.*triton-rollout"),
    ):
        rollout.roll_out("v1", "triton", namespace="ml", api=api)


def test_a_missing_deployment_is_named(kubernetes):
    with client(kubernetes) as api, pytest.raises(ServerError, match="Deployment other in ml: 404"):
        rollout.roll_out("v1", "other", namespace="ml", api=api)


def test_an_unreachable_api_is_a_server_error(kubernetes):
    api = client(kubernetes)
    kubernetes.shutdown()
    kubernetes.server_close()
    with api, pytest.raises(ServerError, match="network policy"):
        rollout.roll_out("v1", "triton", namespace="ml", api=api)


def test_outside_a_cluster(tmp_path):
    with pytest.raises(SetupError, match="runs as a pod"):
        rollout.in_cluster(tmp_path)
