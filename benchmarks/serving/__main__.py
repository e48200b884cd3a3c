"""Measure serving: ``python -m benchmarks.serving [--quick]`` from the project's root.

Asks the real tritonserver over gRPC for recommendations of known users and measures the latency of
`recommend` (ids in, titles and reasons out) and of the graph `recommender`, beside the bare graph
on onnxruntime in this process. The arms take turns, so that noise of the machine meets all of them.
Writes ``benchmarks/serving/results/serving.md`` and ``serving.json``.
"""

import argparse
import asyncio
import logging
import os
import platform
import sys
import tempfile
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import onnxruntime
import tritonclient.grpc.aio as grpc

from benchmarks.serving.load import Arm, Ask, closed_loop, over_grpc, over_onnxruntime
from benchmarks.serving.model import version
from counterpoint import artifacts, tables
from counterpoint import config as configuration
from counterpoint.errors import CounterpointError
from counterpoint.progress import track
from counterpoint.user_snapshot import UserSnapshot
from serving import repository
from serving.in_process import InProcess
from serving.models import recommend, recommender
from serving.server import TritonServer
from serving.spec import Arrays

K = 10
USERS = 200
WARM_UP = 50
TIMEOUT = 30.0
CONCURRENCIES = (1, 8)


def main() -> int:
    """Run the benchmark; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__)
    parser.add_argument("--requests", type=int, default=1000, help="requests per arm and round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="one round of 200 requests")
    parser.add_argument("--set", nargs="*", default=[], help="section.key=value overrides")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if given.quick:
        given.requests, given.rounds = 200, 1
    try:
        config = configuration.load(overrides=given.set)
        with version(config, Path("var/benchmarks/serving")) as (name, folder):
            arms, facts = measure(config, name, folder, given.requests, given.rounds)
    except CounterpointError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    figures = [arm.figures() for arm in arms]
    given.results.mkdir(parents=True, exist_ok=True)
    tables.write_json(given.results / "serving.json", {"figures": figures, "facts": facts})
    page = markdown(figures, facts)
    (given.results / "serving.md").write_text(page, "utf-8")
    print(page)
    return 0


def measure(
    config: configuration.Config, name: str, folder: Path, requests: int, rounds: int
) -> tuple[list[Arm], dict[str, Any]]:
    """Start the server and run every arm ``rounds`` times in turn."""
    environment = Path(config.deploy.triton_env).absolute()
    options = {"version": name}
    with tempfile.TemporaryDirectory(prefix="counterpoint-benchmark-") as scratch:
        models = Path(scratch) / "models"
        repository.write(
            folder, models, form="local", number=1, options=options, environment=environment
        )
        questions = known_users(folder / "onnx" / artifacts.USERS_SNAPSHOT)
        encoded = encode(InProcess(models, number=1, options=options), questions)
        graph = folder / "onnx" / artifacts.RECOMMENDER_ONNX
        server = TritonServer(models, environment=environment, log=Path(scratch) / "log")
        with server:
            arms = asyncio.run(
                _run(server.url, graph, questions, encoded, requests=requests, rounds=rounds)
            )
    contract = tables.read_json(folder / "onnx" / artifacts.CONTRACT)
    lengths = [int((request["history"] > 0).sum()) for request in encoded]
    facts = {
        "items": contract["n_items"],
        "users": len(questions),
        "history_median": float(np.median(lengths)),
        "history_longest": max(lengths),
        "k": K,
        "rounds": rounds,
        "cpus": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        "onnxruntime": onnxruntime.__version__,
    }
    return arms, facts


async def _run(
    url: str,
    graph: Path,
    questions: Sequence[Arrays],
    encoded: Sequence[Arrays],
    *,
    requests: int,
    rounds: int,
) -> list[Arm]:
    async with grpc.InferenceServerClient(url) as client:
        asked: list[tuple[Arm, Ask]] = []
        for callers in CONCURRENCIES:
            bare = over_onnxruntime(graph, encoded, threads=callers)
            graph_ask = over_grpc(client, recommender.SPEC, encoded, timeout=TIMEOUT)
            front = over_grpc(client, recommend.SPEC, questions, timeout=TIMEOUT)
            asked.append((Arm("onnxruntime, in process", callers), bare))
            asked.append((Arm("`recommender`, gRPC", callers), graph_ask))
            asked.append((Arm("`recommend`, gRPC", callers), front))
        for arm, ask in asked:
            await closed_loop(ask, Arm(arm.name, arm.concurrency), WARM_UP)
        turns = [pair for _ in range(rounds) for pair in asked]
        for arm, ask in track(turns, "Measure serving"):
            await closed_loop(ask, arm, requests)
    return [arm for arm, _ in asked]


def known_users(snapshot: Path) -> list[Arrays]:
    """Return requests of known users with events, spread over the snapshot."""
    store = UserSnapshot(snapshot)
    ids = [user.user_id for user in store if len(user.items)]
    store.close()
    step = max(1, len(ids) // USERS)
    return [
        {"user_id": np.array([[user.encode()]], dtype=object), "k": np.array([[K]], np.int32)}
        for user in islice(ids, 0, USERS * step, step)
    ]


def encode(models: InProcess, questions: Sequence[Arrays]) -> list[Arrays]:
    """Return the tensors that the front sends to the graph for each question."""
    sent: list[Arrays] = []

    def call(model: str, inputs: Arrays, outputs: Sequence[str]) -> Arrays:
        sent.append(inputs)
        return models.call(model, inputs, outputs)

    front = models.runtime("recommend", call)
    for question in questions:
        front.execute([question])
    return sent


def markdown(figures: Sequence[Mapping[str, Any]], facts: Mapping[str, Any]) -> str:
    """Return the results as a page."""
    rows = [
        f"| {f['what']} | {f['concurrency']} | {f['p50_ms']:.2f} | {f['p99_ms']:.2f} "
        f"| {f['per_second']:.0f} | {f['requests']} |"
        for f in figures
    ]
    return "\n".join(
        [
            "# Serving",
            "",
            f"Known users of MovieLens-100K ({facts['items']} items, histories of "
            f"{facts['history_median']:.0f} events in the median, {facts['history_longest']} at "
            f"most), k = {facts['k']}; closed loop, arms in turn over {facts['rounds']} rounds; "
            f"{facts['cpus']} CPUs shared by server and load generator, load average "
            f"{facts['load_average']}.",
            "",
            "| what | callers | p50 ms | p99 ms | requests/s | requests |",
            "| --- | ---: | ---: | ---: | ---: | ---: |",
            *rows,
            "",
            "Reproduce: `.venv/bin/python -m benchmarks.serving`",
            "",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
