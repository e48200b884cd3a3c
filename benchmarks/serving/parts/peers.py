"""The same questions to other ways of serving the same graph, in one run."""

import contextlib
import http.client
import json
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tritonclient.grpc as grpc

from benchmarks.serving import questions
from benchmarks.serving.open_loop import Done, Outcome, Send, arrivals, open_loop, percentiles
from benchmarks.serving.part import Result, Setting, Table
from benchmarks.serving.served import serving
from counterpoint.errors import ServerError
from counterpoint.onnx_parity import session
from serving.models import recommend, recommender
from serving.server import HOST, Ports, choose
from serving.spec import Arrays

TITLE = "Beside other ways of serving the same graph"
ORDER = 7

RATE = 100.0
REQUESTS = 3000
CLOSED = 1000
CALLERS = (1, 8)
ROUNDS = 3
CONNECTIONS = 32


@dataclass
class Way:
    """A way of asking, and what it took.

    Attributes:
        name: For the table.
        send: Asks.
    """

    name: str
    send: Send


def run(setting: Setting) -> Result:
    """Ask every way in turn, first open then closed loop."""
    ids = questions.users(setting.folder)
    asked = questions.asking(ids)
    encoded = questions.encode(setting.folder, setting.scratch / "encoding", asked)
    open_: dict[str, list[np.ndarray]] = {}
    closed: dict[tuple[str, int], list[float]] = {}
    failures: dict[str, int] = {}
    with contextlib.ExitStack() as stack:
        served = stack.enter_context(serving(setting))
        client = stack.enter_context(grpc.InferenceServerClient(served.url))
        port = stack.enter_context(peer(setting))
        ways = [
            Way("onnxruntime in this process", stack.enter_context(bare(setting, encoded))),
            Way(
                "`recommender` on Triton, gRPC",
                questions.grpc_send(client, grpc.InferInput, recommender.SPEC, encoded),
            ),
            Way(
                "`recommend` on Triton, live features, gRPC",
                questions.grpc_send(client, grpc.InferInput, recommend.SPEC, asked),
            ),
            Way(
                "FastAPI and uvicorn, users in memory, HTTP",
                stack.enter_context(over_http(port, ids)),
            ),
        ]
        for way in ways:
            open_loop(way.send, arrivals(RATE, 50, seed=1))
        for number in range(ROUNDS):
            for way in ways:
                due = arrivals(RATE, setting.count(REQUESTS // ROUNDS), seed=number)
                outcome: Outcome = open_loop(way.send, due)
                open_.setdefault(way.name, []).append(outcome.milliseconds)
                failures[way.name] = failures.get(way.name, 0) + len(outcome.failures)
            for callers in CALLERS:
                for way in ways:
                    rate = closed_loop(way.send, setting.count(CLOSED), callers)
                    closed.setdefault((way.name, callers), []).append(rate)
    rows = []
    for way in ways:
        figures = percentiles(np.concatenate(open_[way.name]))
        rates = [float(np.median(closed[way.name, callers])) for callers in CALLERS]
        rows.append((way.name, *figures.values(), *rates, failures[way.name]))
    return Result(
        [],
        f"{len(ids)} known users, k = {questions.K}, one row a request. Latencies: open loop, "
        f"Poisson arrivals at {RATE:.0f} requests/s, from when a request was due; rates: closed "
        f"loop of {' and '.join(map(str, CALLERS))} callers, median of {ROUNDS} rounds. All run at "
        f"once on the same CPUs and are asked in turn. `recommender` and onnxruntime get encoded "
        f"tensors and return indices. The FastAPI server (benchmarks/serving/peer_server.py) is "
        f"what is usually written around a graph: it answers with ids, titles and reasons from a "
        f"table of users in memory, without live features, rules, versions or batching. "
        f"Recommenders with a server of their own were not run.",
        [
            Table(
                (
                    "asked",
                    *("p50", "p90", "p99", "max ms"),
                    *(f"requests/s, {callers} callers" for callers in CALLERS),
                    "failed",
                ),
                rows,
            )
        ],
    )


@contextlib.contextmanager
def peer(setting: Setting) -> Iterator[int]:
    """Run the FastAPI server; give its port."""
    port = choose(Ports()).http
    command = [sys.executable, "-m", "benchmarks.serving.peer_server"]
    command += ["--version", str(setting.folder), "--port", str(port)]
    log = setting.scratch / "peer.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        _await(port, process, log)
        yield port
    finally:
        process.terminate()
        process.wait(30)


def _await(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end and process.poll() is None:
        connection = http.client.HTTPConnection(HOST, port, timeout=2)
        with contextlib.closing(connection), contextlib.suppress(OSError):
            connection.request("GET", "/health")
            if connection.getresponse().status == 200:
                return
        time.sleep(0.1)
    raise ServerError(f"The FastAPI server does not answer:\n{log.read_text()[-2000:]}")


@contextlib.contextmanager
def over_http(port: int, ids: Sequence[str]) -> Iterator[Send]:
    """Give a way to ask over kept-alive connections, one thread each."""
    bodies = [json.dumps({"user_id": user, "k": questions.K}).encode() for user in ids]
    idle: queue.SimpleQueue[http.client.HTTPConnection] = queue.SimpleQueue()
    connections = [http.client.HTTPConnection(HOST, port, timeout=30) for _ in range(CONNECTIONS)]
    for connection in connections:
        connection.connect()
        idle.put(connection)
    pool = ThreadPoolExecutor(CONNECTIONS)

    def ask(number: int, done: Done) -> None:
        connection = idle.get()
        try:
            body, kind = bodies[number % len(bodies)], {"Content-Type": "application/json"}
            connection.request("POST", "/recommend", body, kind)
            answer = connection.getresponse()
            content = json.loads(answer.read())
            done(None if answer.status == 200 and content else f"HTTP {answer.status}")
        except (OSError, ValueError, http.client.HTTPException) as error:
            connection.close()
            done(repr(error))
        finally:
            idle.put(connection)

    try:
        yield lambda number, done: pool.submit(ask, number, done) and None
    finally:
        pool.shutdown()
        for connection in connections:
            connection.close()


@contextlib.contextmanager
def bare(setting: Setting, encoded: Sequence[Arrays]) -> Iterator[Send]:
    """Give a way to run the graph in this process, in one thread."""
    graph = session(setting.folder / "onnx" / "recommender.onnx")
    with ThreadPoolExecutor(1) as pool:

        def ask(number: int, done: Done) -> None:
            graph.run(None, dict(encoded[number % len(encoded)]))
            done(None)

        yield lambda number, done: pool.submit(ask, number, done) and None


def closed_loop(send: Send, requests: int, callers: int) -> float:
    """Keep ``callers`` requests under way; return the requests a second.

    Raises:
        ServerError: One failed.
    """
    slots, wrong = threading.Semaphore(callers), list[str]()

    def done(error: str | None) -> None:
        if error is not None:
            wrong.append(error)
        slots.release()

    started = time.perf_counter()
    for number in range(requests):
        slots.acquire()
        send(number, done)
    for _ in range(callers):
        slots.acquire()
    if wrong:
        raise ServerError(f"{len(wrong)} requests failed, the first with {wrong[0]}")
    return requests / (time.perf_counter() - started)
