"""Rows a second of `recommend`, beside bare onnxruntime in this process with the same batches."""

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass

import tritonclient.grpc.aio as grpc

from benchmarks.serving import questions
from benchmarks.serving.load import Arm, Ask, closed_loop, over_grpc, over_onnxruntime
from benchmarks.serving.part import Demand, Result, Setting, Table
from benchmarks.serving.served import serving
from serving.models import recommend

TITLE = "Throughput"
ORDER = 2

BATCHES = (1, 8, 32, 64)
INSTANCES = (1, 2)
CALLERS = (1, 16, 64)
LEAN = ("item_id", "score")
"""Outputs of those that want nothing else."""

ROWS = 2400
"""Rows of each arm and round."""

ROUNDS = 5
SHARE = 0.6


@dataclass(frozen=True)
class Key:
    """An arm: which side, how many rows a request, how many callers."""

    side: str
    rows: int
    callers: int


def run(setting: Setting) -> Result:
    """Measure every batch size with one and with two front processes."""
    rows, demands, figures = [], [], []
    for instances in INSTANCES:
        arms = measure(setting, instances)
        figures += [{"fronts": instances} | arm.figures() for arm in arms.values()]
        for size in BATCHES:
            bare = _rate(arms[Key("bare", size, instances)], size)
            asked = {c: _rate(arms[Key("recommend", size, c)], size) for c in CALLERS}
            lean = _rate(arms[Key("lean", size, max(CALLERS))], size)
            rows.append((f"{size} rows, {instances} fronts", *asked.values(), lean, bare))
            best = max(asked.values())
            demands.append(
                Demand(
                    f"`recommend`, {size} rows a request, {instances} front "
                    f"process{'es' if instances > 1 else ''}: rows/s against bare onnxruntime on "
                    f"{instances} thread{'s' if instances > 1 else ''}",
                    f">= {SHARE:.0%}",
                    f"{best / bare:.0%} ({best:.0f} of {bare:.0f})",
                    best / bare >= SHARE,
                )
            )
    return Result(
        demands,
        f"Closed loop with live features. A front process (`deploy.instances`) computes on one "
        f"thread. Bare: the same batches, already encoded and padded, on one onnxruntime session "
        f"in this process, called by as many threads as there are fronts, each run on one thread. "
        f"Arms take turns over {ROUNDS} rounds of {setting.count(ROWS)} rows. `recommend` also "
        f"looks the users up, applies the rules and answers with titles and reasons (twelve "
        f"tensors; in the last column but one with two); server, "
        f"feature server and client share the {os.cpu_count()} CPUs, of which bare has all it can "
        f"use.",
        [
            Table(
                (
                    "asked",
                    *(f"rows/s, {c} callers" for c in CALLERS),
                    "… that want ids and scores only",
                    "bare rows/s",
                ),
                rows,
            )
        ],
        {"arms": figures},
    )


def measure(setting: Setting, instances: int) -> dict[Key, Arm]:
    """Return the arms with one number of front processes, after all rounds."""
    ids = questions.users(setting.folder)
    settings = [f"deploy.instances={instances}"]
    with serving(setting, settings=settings) as served:
        return asyncio.run(_run(setting, served.url, ids, instances))


async def _run(setting: Setting, url: str, ids: Sequence[str], instances: int) -> dict[Key, Arm]:
    graph = setting.folder / "onnx" / "recommender.onnx"
    asks: dict[Key, Ask] = {}
    async with grpc.InferenceServerClient(url) as client:
        for size in BATCHES:
            # Fewer different batches suffice, so that as many users are encoded for each size.
            asked = questions.asking(ids, rows=size)[: max(8, len(ids) // size)]
            encoded = questions.encode(setting.folder, setting.scratch / "models", asked)
            front = over_grpc(client, recommend.SPEC, asked, timeout=questions.TIMEOUT)
            asks[Key("bare", size, instances)] = over_onnxruntime(graph, encoded, threads=instances)
            asks |= {Key("recommend", size, callers): front for callers in CALLERS}
            lean = over_grpc(client, recommend.SPEC, asked, timeout=questions.TIMEOUT, outputs=LEAN)
            asks[Key("lean", size, max(CALLERS))] = lean
        arms = {key: Arm(f"{key.side}, {key.rows} rows", key.callers) for key in asks}
        for key, ask in asks.items():
            await closed_loop(ask, Arm("warm-up", key.callers), max(4, 64 // key.rows))
        for _ in range(ROUNDS):
            for key, ask in asks.items():
                requests = setting.count(ROWS // key.rows, least=2 * key.callers)
                await closed_loop(ask, arms[key], requests)
    return arms


def _rate(arm: Arm, rows: int) -> float:
    return len(arm.milliseconds) * rows / arm.seconds
