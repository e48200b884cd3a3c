"""A server on 127.0.0.1 that plays the part of the Kubernetes API which a TrainJob needs.

As the real one it checks the manifest strictly, knows names once, and tells of an object only what
its status says at that moment.
"""

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlparse

from kubeflow_trainer_api.models import TrainerV1alpha1TrainJob
from kubernetes import client

from counterpoint.encoder.trainjob_api import TrainJobs

NAMESPACE = "ml"
JOBS = re.compile(r"/apis/trainer\.kubeflow\.org/v1alpha1/namespaces/ml/trainjobs(?:/([^/]+))?")
PODS = re.compile(r"/api/v1/namespaces/ml/pods(?:/([^/]+)/log)?")

Status = dict[str, Any]


def holds(kind: str, reason: str = "Because", message: str = "of that") -> Status:
    """A status with one condition."""
    found = {"type": kind, "status": "True", "reason": reason, "message": message}
    return {"conditions": [found | {"lastTransitionTime": "2026-01-01T00:00:00Z"}]}


def pod(name: str, index: int = 0, **status: Any) -> dict[str, Any]:
    labels = {
        "jobset.sigs.k8s.io/jobset-name": name.rsplit("-node-", 1)[0],
        "batch.kubernetes.io/job-completion-index": str(index),
    }
    spec = {"containers": [{"name": "node", "image": "i"}]}
    return {"metadata": {"name": name, "labels": labels}, "spec": spec, "status": status}


def container(**state: Any) -> list[dict[str, Any]]:
    own = {"name": "node", "image": "i", "imageID": "", "ready": False, "restartCount": 0}
    return [own | {"state": state}]


class Api:
    """What the server holds and how it behaves.

    Attributes:
        jobs: Name -> TrainJob.
        statuses: Of a job at each look; the last one stays.
        pods: Pods of all jobs.
        logs: Pod -> its log.
        refused: (verb, path pattern) -> (status, message).
        seen: Verbs and paths in their order.
        creating: Called before a job is created.
        created: Called with each new job.
        looked: Called with each status that is told.
        lingering: Looks for which a deleted job is still there.
    """

    def __init__(self) -> None:
        self.jobs: dict[str, dict[str, Any]] = {}
        self.statuses: list[Status] = [{}]
        self.pods: list[dict[str, Any]] = []
        self.logs: dict[str, str] = {}
        self.refused: dict[tuple[str, str], tuple[int, str]] = {}
        self.seen: list[tuple[str, str]] = []
        self.creating: Callable[[], None] = lambda: None
        self.created: Callable[[dict[str, Any]], None] = lambda job: None
        self.looked: Callable[[Status], None] = lambda status: None
        self.lingering = 0

    def answer(self, verb: str, path: str, query: dict[str, list[str]], body: Any) -> Any:
        self.seen.append((verb, path))
        for (refused, pattern), fault in self.refused.items():
            if refused == verb and re.search(pattern, path):
                return fault
        jobs, pods = JOBS.fullmatch(path), PODS.fullmatch(path)
        if jobs and verb == "POST":
            return self._create(body, query)
        if jobs and jobs[1]:
            return self._one(verb, jobs[1])
        if pods and pods[1]:
            lines = self.logs.get(pods[1], "").splitlines()[-int(query["tailLines"][0]) :]
            assert query["container"] == ["node"]
            return 200, "\n".join(lines)
        if pods:
            key, _, value = query["labelSelector"][0].partition("=")
            found = [entry for entry in self.pods if entry["metadata"]["labels"][key] == value]
            return 200, {"apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": found}
        return 404, "the server could not find the requested resource"

    def _create(self, body: dict[str, Any], query: dict[str, list[str]]) -> Any:
        name = body["metadata"]["name"]
        self.creating()
        if name in self.jobs:
            return 409, f'trainjobs.trainer.kubeflow.org "{name}" already exists'
        assert query["fieldValidation"] == ["Strict"]
        if strictly(body) != body:
            return 400, "strict decoding error: unknown field"
        self.jobs[name] = body
        self.created(body)
        return 201, body

    def _one(self, verb: str, name: str) -> Any:
        if name not in self.jobs:
            return 404, f'trainjobs.trainer.kubeflow.org "{name}" not found'
        job = self.jobs[name]
        if verb == "DELETE":
            job["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        if "deletionTimestamp" in job["metadata"]:
            self.lingering -= 1
            if self.lingering < 0:
                del self.jobs[name]
            return 200, job
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        self.looked(status)
        return 200, job | {"status": status}

    def verbs(self) -> list[str]:
        """What was done with TrainJobs, without the looks."""
        return [verb for verb, path in self.seen if JOBS.fullmatch(path) and verb != "GET"]


def strictly(manifest: dict[str, Any]) -> dict[str, Any]:
    """What Kubeflow Trainer's models know of a manifest; they refuse wrong types."""
    found = TrainerV1alpha1TrainJob.from_dict(manifest)
    assert found is not None
    known: dict[str, Any] = found.to_dict()
    return known


@contextmanager
def serve() -> Iterator[tuple[Api, TrainJobs]]:
    """A running server, and the real client connected to it."""
    api = Api()

    class Handler(BaseHTTPRequestHandler):
        def _do(self) -> None:
            url = urlparse(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            code, content = api.answer(self.command, url.path, parse_qs(url.query), body)
            if code >= 400:
                content = {"kind": "Status", "code": code, "message": content}
            plain = isinstance(content, str)
            sent = (content if plain else json.dumps(content)).encode()
            self.send_response(code)
            self.send_header("Content-Type", "text/plain" if plain else "application/json")
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        do_GET = do_POST = do_DELETE = _do

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    configuration = client.Configuration(host=f"http://127.0.0.1:{server.server_port}")
    configuration.retries = False
    try:
        yield api, TrainJobs(client.ApiClient(configuration), NAMESPACE)
    finally:
        server.shutdown()
        server.server_close()
