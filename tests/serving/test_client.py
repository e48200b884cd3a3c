"""The clients on a real wire: a gRPC server that fails as it is told, and the tritonserver."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from counterpoint.errors import DataError, ServerError
from serving.aio_client import AsyncRecommendClient
from serving.client import RecommendClient
from serving.in_process import InProcess
from serving.models import recommend, similar
from serving.questions import Question, QuestionFields, SimilarFields, SimilarQuestion
from serving.retry import NEVER, Deadline, Retry
from serving.rule_options import Cap, Category, Explore
from serving.server import TritonServer
from tests.serving import test_rerank, test_similar, tiny
from tests.serving.test_recommend import ask

QUICK = Retry(attempts=4, first=0.01)
Fault = grpc.StatusCode | float | str
"""What an attempt meets: a status, seconds of silence, or the message of a refusal."""


class Flaky(service_pb2_grpc.GRPCInferenceServiceServicer):
    """Fails the first requests as told and answers the others with a recorded answer."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self.seen: list[dict[str, str]] = []
        self.answer = service_pb2.ModelInferResponse()

    def ModelInfer(self, request: Any, context: Any) -> Any:
        self.seen.append({key: str(value) for key, value in context.invocation_metadata()})
        fault = self.faults.pop(0) if self.faults else None
        if isinstance(fault, float):
            time.sleep(fault)
        elif isinstance(fault, str):
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, fault)
        elif fault is not None:
            context.abort(fault, f"k: a fault of {fault}")
        return self.answer


@pytest.fixture
def flaky(server: TritonServer) -> Iterator[tuple[Flaky, str]]:
    """The server and its address."""
    servicer = Flaky()
    inner = grpc.insecure_channel(server.url)
    stub = service_pb2_grpc.GRPCInferenceServiceStub(inner)
    inputs = [
        service_pb2.ModelInferRequest.InferInputTensor(name="k", datatype="INT32", shape=[1, 1])
    ]
    inputs[0].contents.int_contents.append(3)
    servicer.answer = stub.ModelInfer(
        service_pb2.ModelInferRequest(model_name="recommend", inputs=inputs)
    )
    inner.close()
    outer = grpc.server(futures.ThreadPoolExecutor(8))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(servicer, outer)
    port = outer.add_insecure_port("127.0.0.1:0")
    outer.start()
    yield servicer, f"127.0.0.1:{port}"
    outer.stop(None).wait()


def by_sync(url: str, **options: Any) -> Any:
    with RecommendClient(url, **options) as client:
        return client.recommend(k=3)


def by_asyncio(url: str, **options: Any) -> Any:
    async def run() -> Any:
        async with AsyncRecommendClient(url, **options) as client:
            return await client.recommend(k=3)

    return asyncio.run(run())


@pytest.fixture(params=[by_sync, by_asyncio])
def call(request: pytest.FixtureRequest) -> Callable[..., Any]:
    chosen: Callable[..., Any] = request.param
    return chosen


UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


def test_an_unavailable_server_is_asked_again(
    flaky: tuple[Flaky, str], call: Callable[..., Any]
) -> None:
    servicer, url = flaky
    servicer.faults = [UNAVAILABLE, UNAVAILABLE]
    assert len(call(url, retry=QUICK, timeout=30).items) == 3
    assert len(servicer.seen) == 3


def test_attempts_are_bounded(flaky: tuple[Flaky, str], call: Callable[..., Any]) -> None:
    servicer, url = flaky
    servicer.faults = [UNAVAILABLE] * 9
    with pytest.raises(ServerError, match="No server answers"):
        call(url, retry=QUICK, timeout=30)
    assert len(servicer.seen) == QUICK.attempts


@pytest.mark.parametrize(
    ("status", "kind"),
    [(grpc.StatusCode.INVALID_ARGUMENT, DataError), (grpc.StatusCode.INTERNAL, ServerError)],
)
def test_a_refusal_and_a_failure_are_not_repeated(
    flaky: tuple[Flaky, str],
    call: Callable[..., Any],
    status: grpc.StatusCode,
    kind: type[Exception],
) -> None:
    servicer, url = flaky
    servicer.faults = [status] * 3
    with pytest.raises(kind, match="k: a fault"):
        call(url, retry=QUICK, timeout=30)
    assert len(servicer.seen) == 1


def test_the_refusal_of_another_request_is_not_the_callers(
    flaky: tuple[Flaky, str], call: Callable[..., Any]
) -> None:
    servicer, url = flaky
    servicer.faults = ["incomplete string data for inference input 'user_id', expecting …"] * 2
    assert len(call(url, retry=QUICK, timeout=30).items) == 3
    assert len(servicer.seen) == 3


def test_nobody_is_disturbed_by_requests_of_broken_strings(
    server: TritonServer, client: RecommendClient
) -> None:
    """Triton's Python backend refuses the whole batch that such a request is in."""
    broken = service_pb2.ModelInferRequest(model_name="recommend")
    broken.inputs.add(name="user_id", datatype="BYTES", shape=[1, 1])
    broken.raw_input_contents.append(b"\xff\xff\xff\x7fab")
    wanted = [item.item_id for item in client.recommend(user="anna").items]
    with grpc.insecure_channel(server.url) as channel, futures.ThreadPoolExecutor(4) as pool:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        sent = [stub.ModelInfer.future(broken, timeout=60) for _ in range(200)]
        asked = [pool.submit(client.recommend, user="anna") for _ in range(100)]
        for answer in asked:
            assert [item.item_id for item in answer.result().items] == wanted
        for refused in sent:
            assert refused.code() == grpc.StatusCode.INVALID_ARGUMENT
            assert "user_id" in refused.details()


def test_a_silent_attempt_is_given_up_within_the_deadline(
    flaky: tuple[Flaky, str], call: Callable[..., Any]
) -> None:
    servicer, url = flaky
    servicer.faults = [60.0 / 100]
    retry = Retry(attempts=5, first=0.01, attempt_timeout=0.2)
    assert len(call(url, retry=retry, timeout=30).items) == 3
    assert len(servicer.seen) >= 2
    servicer.seen.clear()
    servicer.faults = [0.5] * 9
    with pytest.raises(ServerError, match=r"did not answer within 0\.3 s"):
        call(url, retry=retry, timeout=0.3)
    assert len(servicer.seen) <= 3


def test_without_retries_every_fault_is_the_callers(
    flaky: tuple[Flaky, str], call: Callable[..., Any]
) -> None:
    servicer, url = flaky
    servicer.faults = [UNAVAILABLE]
    with pytest.raises(ServerError):
        call(url, retry=NEVER, timeout=30)
    assert len(servicer.seen) == 1


class Token:
    """Credentials without TLS."""

    def channel(self) -> dict[str, Any]:
        return {}

    def headers(self) -> dict[str, str]:
        return {"authorization": "Bearer secret"}


def test_every_attempt_shows_the_token(flaky: tuple[Flaky, str], call: Callable[..., Any]) -> None:
    servicer, url = flaky
    servicer.faults = [UNAVAILABLE]
    call(url, retry=QUICK, timeout=30, credentials=Token())
    assert [seen["authorization"] for seen in servicer.seen] == ["Bearer secret"] * 2


def test_a_server_that_comes_back_is_found(flaky: tuple[Flaky, str]) -> None:
    servicer, _ = flaky
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
    late = grpc.server(futures.ThreadPoolExecutor(2))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(servicer, late)

    def start() -> None:
        late.add_insecure_port(f"127.0.0.1:{port}")
        late.start()

    timer = threading.Timer(0.7, start)
    timer.start()
    try:
        patient = Retry(attempts=100, longest=0.2)
        assert by_sync(f"127.0.0.1:{port}", retry=patient, timeout=30).items
    finally:
        timer.join()
        late.stop(None).wait()


def test_waits_grow_up_to_the_longest_and_differ() -> None:
    retry = Retry(attempts=9, first=0.1, factor=2, longest=0.5, jitter=0.5)
    deadline = Deadline(1000, retry)
    for failures, longest in enumerate([0.1, 0.2, 0.4, *[0.5] * 5], start=1):
        waits = [deadline.wait(failures) for _ in range(50)]
        assert all(w is not None and longest / 2 <= w <= longest for w in waits)
        assert len(set(waits)) > 1
    assert deadline.wait(9) is None
    assert Deadline(0.01, retry).wait(3) is None
    assert len(list(Deadline(1000, retry).attempts())) == 9


CASES: list[Question] = [
    Question(user="anna", k=4),
    Question(history=["a", "日本"], positive=[True, False], k=3),
    Question(
        history=["e", "a"],
        timestamps=[datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)],
        rules=[Category(any=["genre=Drama"]), Cap("genre", most=2)],
    ),
    Question(allow=["a", "b", "nope"], attributes=["age=31", "x=y"], trace_id="named"),
    Question(rules=[Explore(temperature=2.0, seed=3)], trace_id="drawn", k=12),
    Question(),
]


def test_many_questions_get_what_each_gets_alone(client: RecommendClient) -> None:
    questions = [*CASES, *(Question(user="long", k=1 + i % 12) for i in range(70))]
    together = client.recommend_many(questions)
    assert len(together) == len(questions)
    for question, answer in list(zip(questions, together, strict=True))[:8]:
        (alone,) = client.recommend_many([question])
        assert [i.item_id for i in answer.items] == [i.item_id for i in alone.items]
        assert [i.reasons for i in answer.items] == [i.reasons for i in alone.items]
        assert answer.source == alone.source
        assert answer.unknown_items == alone.unknown_items
        assert answer.trace == alone.trace
        if question.trace_id:
            assert answer.trace_id == question.trace_id
    assert all(len(a.items) <= q.k for q, a in zip(questions, together, strict=True))
    assert all(i.propensity for i in together[4].items)
    assert together[0].items[0].propensity is None


def test_asyncio_answers_as_the_other_client(server: TritonServer, client: RecommendClient) -> None:
    async def run() -> Any:
        async with AsyncRecommendClient(server.url, timeout=30) as own:
            many = await asyncio.gather(*(own.recommend_many([q]) for q in CASES))
            vector = await own.encode("space drama")
            with pytest.raises(DataError, match="k: 0"):
                await own.recommend(k=0)
            return [rows[0] for rows in many], await own.similar("a", "b", k=3), vector

    answers, alike, vector = asyncio.run(run())
    expected = client.recommend_many(CASES)
    for ours, theirs in zip(answers, expected, strict=True):
        assert [i.item_id for i in ours.items] == [i.item_id for i in theirs.items]
    assert alike.items == client.similar("a", "b", k=3).items
    assert vector.tolist() == client.encode("space drama").tolist()


def test_similar_items_over_grpc(client: RecommendClient, local: InProcess) -> None:
    expected = test_similar.ask(local, item_id=["日本"], exclude=["b"], k=4)
    answer = client.similar("日本", exclude=["b"], k=4)
    assert [item.item_id for item in answer.items] == expected["item_id"]
    with pytest.raises(DataError, match="item_id: 'nope' is not in the catalogue"):
        client.similar("nope")
    with pytest.raises(DataError, match="item_id"):
        client.similar()


def test_rules_over_grpc(client: RecommendClient, local: InProcess) -> None:
    text = '{"category": {"any": ["genre=Drama"]}, "mmr": {"weight": 0.9}}'
    expected = ask(local, history=["a"], rules=text, allow=tiny.ITEMS[:9])
    answer = client.recommend(
        history=["a"],
        allow=tiny.ITEMS[:9],
        rules={"category": {"any": ["genre=Drama"]}, "mmr": {"weight": 0.9}},
    )
    assert [item.item_id for item in answer.items] == expected["item_id"]
    assert answer.trace == expected["trace"][0]
    with pytest.raises(DataError, match=r"rules\.cap\.most: 0"):
        client.recommend(rules=[Cap("genre", most=0)])
    with pytest.raises(DataError, match=r"rules: .* occurs twice"):
        client.recommend(rules=[Cap("genre", 1), Cap("mood", 1)])


def test_the_keyword_arguments_are_the_fields_of_the_questions() -> None:
    assert set(QuestionFields.__annotations__) == {field.name for field in fields(Question)}
    alike = {field.name for field in fields(SimilarQuestion)} - {"items"}
    assert set(SimilarFields.__annotations__) == alike


def test_a_question_has_a_value_for_every_input() -> None:
    assert set(Question().values()) == {tensor.name for tensor in recommend.SPEC.inputs}
    assert set(SimilarQuestion(["a"]).values()) == {tensor.name for tensor in similar.SPEC.inputs}


def test_items_are_judged_over_grpc(client: RecommendClient, local: InProcess) -> None:
    items = ["🎬", "g", "a", "nope"]
    expected = test_rerank.judge(local, item_id=items, user_id="anna")
    answer = client.rerank(*items, user="anna")
    assert [item.item_id for item in answer.items] == expected["item_id"]
    assert [item.liking for item in answer.items] == pytest.approx(expected["liking"], abs=1e-5)
    assert [item.rating for item in answer.items] == pytest.approx(expected["rating"], abs=1e-5)
    assert answer.unknown_items == ["nope"]
    assert answer.source == "known_user"

    async def ask() -> Any:
        async with AsyncRecommendClient(client._url, timeout=30) as own:
            return await own.rerank(*items, user="anna")

    assert asyncio.run(ask()) == answer
    with pytest.raises(DataError, match="item_id"):
        client.rerank()
    with pytest.raises(DataError, match="history_positive"):
        client.rerank("a", history=["b"], positive=[True, False])
