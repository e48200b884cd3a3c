"""A running server with everything on: metrics, log lines, traces, impressions, limits, cache."""

import json
import re
import sqlite3
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as grpc
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags
from tritonclient.utils import InferenceServerException

from counterpoint.config.serve import DeployConfig
from counterpoint.errors import DataError, ServerError
from serving import access, impressions, model_options, repository
from serving.client import RecommendClient
from serving.observe.observer import STAGES
from serving.observe.pseudonyms import Pseudonyms
from serving.retry import NEVER
from serving.server import HOST, TritonServer
from tests.serving import tiny
from tests.serving.test_feature_server import Server, features

KEY = b"a key of the test, long enough"
SECRET = "raw-user"
"""Begins every user id that must not be written anywhere."""


@dataclass
class Operated:
    server: TritonServer
    client: RecommendClient
    feast: Server
    log: Path
    impressions: Path

    def metrics(self) -> dict[str, float]:
        """Return the samples once what has happened so far must have been handed over."""
        time.sleep(2.2)
        url = f"http://{HOST}:{self.server.ports.metrics}/metrics"
        with urllib.request.urlopen(url, timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))
        return {name: float(value) for name, value in pairs}

    def total(self, metrics: dict[str, float], name: str, *labels: str) -> float:
        return sum(
            value
            for sample, value in metrics.items()
            if sample.partition("{")[0] == name and all(label in sample for label in labels)
        )

    def lines(self, event: str) -> list[dict[str, Any]]:
        """Return the JSON lines of the server's log."""
        found = [
            json.loads(line)
            for line in self.log.read_text("utf-8").splitlines()
            if line.startswith('{"when"')
        ]
        return [line for line in found if line["event"] == event]


def operate(
    folders: dict[str, Path], triton_env: Path, folder: Path, feast: Server, **changes: Any
) -> TritonServer:
    (folder / "key").write_bytes(KEY)
    (folder / "key").chmod(0o600)
    config = DeployConfig(
        feature_server=feast.address,
        feature_timeout=3,
        log_requests="all",
        log_key_file=str(folder / "key"),
        impressions=str(folder / "impressions"),
        max_request_bytes=20_000,
        **changes,
    )
    repository.write(
        folders["onnx"].parent,
        folder / "models",
        form="local",
        number=1,
        options=model_options.options(config, "v1"),
        environment=triton_env,
    )
    return TritonServer(
        folder / "models",
        environment=triton_env,
        log=folder / "log",
        access=access.of(config),
    )


@pytest.fixture(scope="module")
def operated(
    folders: dict[str, Path], triton_env: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Operated]:
    folder = tmp_path_factory.mktemp("operated")
    feast = Server()
    server = operate(folders, triton_env, folder, feast)
    with server, RecommendClient(server.url, timeout=30) as client:
        yield Operated(server, client, feast, folder / "log", folder / "impressions")
    feast.close()


def test_the_trace_of_the_caller_reaches_the_feature_server(operated: Operated) -> None:
    caller = SpanContext(0xABC, 0xDEF, is_remote=False, trace_flags=TraceFlags(1))
    with trace.use_span(NonRecordingSpan(caller)):
        answer = operated.client.recommend(user="anna")
    assert answer.trace_id == f"{0xABC:032x}"
    version, trace_id, span_id, flags = operated.feast.headers["traceparent"].split("-")
    assert (version, trace_id, flags) == ("00", answer.trace_id, "01")
    line = operated.lines("answered")[-1]
    assert line["trace_id"] == answer.trace_id
    assert line["parent_id"] == f"{0xDEF:016x}"
    assert line["span_id"] == span_id != line["parent_id"]


def test_http_headers_carry_the_trace_too(operated: Operated) -> None:
    request = {
        "inputs": [{"name": "user_id", "shape": [1, 1], "datatype": "BYTES", "data": ["anna"]}]
    }
    asked = urllib.request.Request(
        f"http://{HOST}:{operated.server.ports.http}/v2/models/recommend/infer",
        data=json.dumps(request).encode(),
        headers={"Traceparent": f"00-{'1' * 32}-{'2' * 16}-00"},
    )
    with urllib.request.urlopen(asked, timeout=30) as answer:
        outputs = {o["name"]: o["data"] for o in json.load(answer)["outputs"]}
    assert outputs["trace_id"] == ["1" * 32]
    assert operated.feast.headers["traceparent"].split("-")[1] == "1" * 32


def test_similar_continues_the_trace_too(operated: Operated) -> None:
    caller = SpanContext(0xABCD, 0xDEF, is_remote=False)
    with trace.use_span(NonRecordingSpan(caller)):
        assert operated.client.similar("a").trace_id == f"{0xABCD:032x}"


def test_a_named_question_keeps_its_trace_in_the_log(operated: Operated) -> None:
    caller = SpanContext(0xABCDE, 0xDEF, is_remote=False)
    with trace.use_span(NonRecordingSpan(caller)):
        assert operated.client.recommend(user="anna", trace_id="mine").trace_id == "mine"
    line = operated.lines("answered")[-1]
    assert (line["trace_id"], line["question"]) == (f"{0xABCDE:032x}", "mine")


def test_without_a_trace_one_begins(operated: Operated) -> None:
    first, second = (operated.client.recommend(user="anna").trace_id for _ in range(2))
    assert re.fullmatch("[0-9a-f]{32}", first)
    assert first != second


def test_metrics_count_what_was_answered(operated: Operated) -> None:
    before = operated.metrics()
    client = operated.client
    for _ in range(3):
        client.recommend(user="anna")
    client.recommend(history=["a"], k=12)
    client.recommend()
    with pytest.raises(DataError):
        client.recommend(k=0)
    with pytest.raises(DataError):
        client.recommend(attributes=["no equal sign"])
    after = operated.metrics()

    def grown(name: str, *labels: str) -> float:
        return operated.total(after, name, *labels) - operated.total(before, name, *labels)

    answers = "counterpoint_answers_total"
    assert grown(answers, 'source="known_user"', 'version="v1"', 'role="champion"') == 3
    assert grown(answers, 'source="history"') == 1
    assert grown(answers, 'source="start_page"') == 1
    assert grown("counterpoint_refused_requests_total", 'field="k"') == 1
    assert grown("counterpoint_refused_requests_total", 'field="attributes"') == 1
    for stage in STAGES:
        label = f'stage="{stage}"'
        executions = grown("counterpoint_stage_seconds_count", label)
        assert executions == (5 if stage == "graph" else 7)
        assert grown("counterpoint_stage_seconds_bucket", label, 'le="+Inf"') == executions
        assert grown("counterpoint_stage_seconds_sum", label) > 0
    # k=12 of 12 items, one of them in the history: all others, the cold ones included.
    assert grown("counterpoint_answered_places_total", 'cold="true"') >= len(tiny.COLD)
    places = grown("counterpoint_answered_places_total")
    assert 11 <= places <= 5 * 12
    assert 11 <= operated.total(after, "counterpoint_distinct_items_answered") <= len(tiny.ITEMS)
    assert operated.total(after, "counterpoint_version_served", 'version="v1"') == 1


def test_an_outage_of_the_feature_server_is_seen(operated: Operated) -> None:
    before = operated.metrics()
    operated.feast.answer = lambda *_: b"fault"
    try:
        assert operated.client.recommend(user="anna").degraded
    finally:
        operated.feast.answer = features
    after = operated.metrics()
    name = "counterpoint_degraded_answers_total"
    assert operated.total(after, name) - operated.total(before, name) == 1
    line = operated.lines("answered")[-1]
    assert line["level"] == "warning" and line["degraded"] is True


def test_no_user_id_is_ever_written(operated: Operated) -> None:
    """Answers, refusals, faults of the feature server: logs and impressions hold pseudonyms."""
    client, user = operated.client, f"{SECRET}-17"

    def strange(handler: BaseHTTPRequestHandler, users: list[str]) -> bytes:
        table = json.loads(features(handler, users))
        table["results"][1]["values"] = [[users[0]]] * len(users)
        return json.dumps(table).encode()

    time.sleep(2.1)  # An earlier outage is over.
    client.recommend(user=user)
    for answer in (strange, lambda _, users: f"not json {users}".encode(), lambda *_: b"fault"):
        operated.feast.answer = answer
        client.recommend(user=user)
        time.sleep(2.1)
    operated.feast.answer = features
    with pytest.raises(DataError):
        client.recommend(user=user, k=0)
    with pytest.raises(DataError, match=SECRET):
        client.recommend(attributes=[f"{SECRET}-in an attribute"])
    bad = grpc.InferInput("user_id", [1, 1], "BYTES")
    bad.set_data_from_numpy(np.array([[f"{SECRET}-\xff".encode("latin-1")]], dtype=object))
    plain = grpc.InferenceServerClient(operated.server.url)
    with pytest.raises(InferenceServerException, match=SECRET):
        plain.infer("recommend", [bad], client_timeout=30)
    plain.close()
    time.sleep(0.5)
    written = [operated.log, *operated.impressions.iterdir()]
    for path in written:
        assert SECRET not in path.read_text("utf-8", "replace")
    pseudonym = Pseudonyms(KEY).of(user)
    assert [line.get("user") for line in operated.lines("answered")].count(pseudonym) == 4
    assert {line["field"] for line in operated.lines("refused")} >= {"k", "attributes", "user_id"}


def test_a_request_that_is_too_large_names_its_largest_field(operated: Operated) -> None:
    with pytest.raises(DataError, match=r"history: 2\d{4} bytes are too many.* 20000 are allowed"):
        operated.client.recommend(user="anna", history=["0123456789"] * 2000)
    with pytest.raises(DataError, match=r"text: 30000 bytes are too many"):
        operated.client.encode("x" * 30_000)


def slow(handler: BaseHTTPRequestHandler, users: list[str]) -> bytes:
    time.sleep(1.0)
    return features(handler, users)


def ask(url: str, timeout: float) -> str:
    with RecommendClient(url, timeout=timeout, retry=NEVER) as client:
        try:
            return client.recommend(user="anna").source
        except ServerError as error:
            return str(error)


def test_callers_that_give_up_leave_the_queue(operated: Operated) -> None:
    cancelled = ("nv_inference_request_failure", 'model="recommend",reason="CANCELED"')
    before = operated.total(operated.metrics(), *cancelled)
    users = grpc.InferInput("user_id", [64, 1], "BYTES")
    users.set_data_from_numpy(np.full((64, 1), b"anna", dtype=object))

    def give_up(_: int) -> str:
        with pytest.raises(InferenceServerException) as failure:
            plain.infer("recommend", [users], client_timeout=0.2)
        return str(failure.value.status())

    operated.feast.answer = slow
    with (
        grpc.InferenceServerClient(operated.server.url) as plain,
        ThreadPoolExecutor(24) as pool,
    ):
        waiting = pool.submit(ask, operated.server.url, 30.0)
        time.sleep(0.3)
        statuses = list(pool.map(give_up, range(20)))
        assert waiting.result() == "known_user"
    operated.feast.answer = features
    assert statuses == ["StatusCode.DEADLINE_EXCEEDED"] * 20
    assert operated.client.recommend(user="anna").source == "known_user"
    # Two full batches had been prepared for the model already, and one may be with it.
    assert operated.total(operated.metrics(), *cancelled) - before >= 17


def test_a_bounded_queue_answers_an_overload_at_once_and_has_priorities(
    folders: dict[str, Path], triton_env: Path, tmp_path: Path
) -> None:
    feast = Server()
    rules = {"max_queued_requests": 4, "priorities": True}
    with operate(folders, triton_env, tmp_path, feast, **rules) as server:
        feast.answer = slow
        with ThreadPoolExecutor(24) as pool:
            answers = list(pool.map(lambda _: ask(server.url, 30.0), range(24)))
        feast.answer = features
        refused = [answer for answer in answers if "is overloaded" in answer]
        assert refused and len(refused) + answers.count("known_user") == 24
        assert ask(server.url, 30.0) == "known_user"
        field = grpc.InferInput("k", [1, 1], "INT32")
        field.set_data_from_numpy(np.array([[3]], np.int32))
        plain = grpc.InferenceServerClient(server.url)
        for priority in (1, 2):
            answer = plain.infer("recommend", [field], priority=priority, client_timeout=30)
            assert answer.as_numpy("item_id").shape == (1, 3)
        plain.close()


def test_equal_texts_are_encoded_once(operated: Operated) -> None:
    first = operated.client.encode("space drama")
    before = operated.metrics()
    for _ in range(5):
        np.testing.assert_array_equal(operated.client.encode("space drama"), first)
    after = operated.metrics()
    for name, growth in (("nv_cache_num_hits_per_model", 5), ("nv_inference_exec_count", 0)):
        label = 'model="encode"'
        grown = operated.total(after, name, label) - operated.total(before, name, label)
        assert grown == growth
    for name in ('model="recommend"', 'model="recommender"'):
        assert operated.total(after, "nv_cache_num_hits_per_model", name) == 0


def test_the_impressions_survive_the_end_of_the_server(
    folders: dict[str, Path], triton_env: Path, tmp_path: Path
) -> None:
    """Two processes of the front: each writes a file of its own, warm-ups leave no trace."""
    feast = Server()
    server = operate(folders, triton_env, tmp_path, feast, instances=2)
    with server, RecommendClient(server.url, timeout=30) as client:
        answers = [client.recommend(user="anna", k=k) for k in range(1, 7)]
        drawn = {"explore": {"temperature": 2}}
        answers.append(client.recommend(user="anna", k=3, rules=drawn))
    feast.close()
    found = impressions.read(tmp_path / "impressions")
    assert len(list((tmp_path / "impressions").iterdir())) == 2
    assert found["trace_id"].to_list() == [answer.trace_id for answer in answers]
    assert found["items"].to_list() == [[i.item_id for i in answer.items] for answer in answers]
    assert found["user"].unique().to_list() == [Pseudonyms(KEY).of("anna")]
    assert found["version"].unique().to_list() == ["v1"]
    scores = [[item.score for item in answer.items] for answer in answers]
    for got, expected in zip(found["scores"], scores, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-6)
    chances = [item.propensity for item in answers[-1].items]
    assert found["propensities"].to_list() == [[]] * 6 + [chances]
    assert json.loads(found["rules"][-1]) == {"availability": {}, **drawn}


def test_a_fault_of_the_server_is_counted_and_quotes_nobody(
    folders: dict[str, Path], triton_env: Path, tmp_path: Path
) -> None:
    """The store of known users is broken: requests that need it fail, each for itself."""
    feast = Server()
    feast.answer = lambda *_: b"fault"
    server = operate(folders, triton_env, tmp_path, feast)
    for path in (tmp_path / "models").rglob("users.sqlite"):
        path.unlink()
        with sqlite3.connect(path) as empty:
            empty.execute(f"create table {SECRET.replace('-', '_')} (x)")
    with server, RecommendClient(server.url, timeout=30) as client:

        def ask(number: int) -> str:
            with RecommendClient(server.url, timeout=30) as own:
                with pytest.raises(ServerError) as caught:
                    own.recommend(user=f"{SECRET}-{number}")
                return str(caught.value)

        with ThreadPoolExecutor(3) as pool:
            messages = list(pool.map(ask, range(3)))
        assert all("recommend failed (OperationalError)" in message for message in messages)
        assert client.recommend(history=["a"]).source == "history"
        operated = Operated(server, client, feast, tmp_path / "log", tmp_path / "impressions")
        failed = operated.total(operated.metrics(), "counterpoint_failed_requests_total")
        assert failed == 3
        assert [line["error"] for line in operated.lines("failed")] == ["OperationalError"] * 3
    feast.close()
    log = (tmp_path / "log").read_text("utf-8", "replace")
    assert SECRET not in log
    assert "known_users.py" in log
