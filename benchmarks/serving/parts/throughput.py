"""Rows a second of `recommend`, beside bare onnxruntime in this process with the same batches."""

import asyncio
import os
from collections.abc import Sequence

import tritonclient.grpc.aio as grpc

from benchmarks.serving import questions
from benchmarks.serving.load import Arm, Ask, closed_loop, over_grpc, over_onnxruntime
from benchmarks.serving.part import Demand, Result, Setting, Table
from benchmarks.serving.served import serving
from serving.models import recommend
from serving.spec import Arrays

TITLE = "Throughput"
ORDER = 2

BATCHES = (1, 8, 32, 64)
CALLERS = (1, 4)
ROWS = 2400
"""Rows of each arm and round."""

ROUNDS = 5
SHARE = 0.6


def run(setting: Setting) -> Result:
    """Measure every batch size; the arms take turns within each round."""
    ids = questions.users(setting.folder)
    arms: dict[tuple[str, int, int], Arm] = {}
    with serving(setting) as served:
        asyncio.run(_run(setting, served.url, ids, arms))
    rows, demands = [], []
    for size in BATCHES:
        bare = {threads: _rate(arms["bare", size, threads], size) for threads in CALLERS}
        for callers in CALLERS:
            asked = _rate(arms["recommend", size, callers], size)
            share = asked / bare[1]
            rows.append((f"{size} rows, {callers} callers", asked, bare[1], bare[4], share))
        best = max(_rate(arms["recommend", size, c], size) for c in CALLERS)
        demands.append(
            Demand(
                f"`recommend`, {size} rows a request: rows/s against bare onnxruntime in process",
                f">= {SHARE:.0%}",
                f"{best / bare[1]:.0%} ({best:.0f} of {bare[1]:.0f})",
                best / bare[1] >= SHARE,
            )
        )
    return Result(
        demands,
        f"Closed loop with live features; the front has one process, which computes on one thread. "
        f"Bare: the same batches, already encoded and padded, on one onnxruntime session in this "
        f"process with one thread for a run, called by one thread (the demanded comparison) or by "
        f"{CALLERS[-1]} threads at once, which use all {os.cpu_count()} CPUs. Arms take turns over "
        f"{ROUNDS} rounds of {setting.count(ROWS)} rows. `recommend` also looks the users up, "
        f"applies the rules and answers with titles and reasons; server, feature server and client share the "
        f"CPUs.",
        [Table(("asked", "rows/s", "bare", f"bare, {CALLERS[-1]} threads", "share of bare"), rows)],
        {"arms": [arm.figures() for arm in arms.values()]},
    )


async def _run(
    setting: Setting, url: str, ids: Sequence[str], arms: dict[tuple[str, int, int], Arm]
) -> None:
    graph = setting.folder / "onnx" / "recommender.onnx"
    async with grpc.InferenceServerClient(url) as client:
        asks: dict[tuple[str, int, int], Ask] = {}
        for size in BATCHES:
            asked: list[Arrays] = questions.asking(ids, rows=size)
            # Fewer different batches suffice, so that as many users are encoded for each size.
            asked = asked[: max(8, len(ids) // size)]
            encoded = questions.encode(setting.folder, setting.scratch / "models", asked)
            front = over_grpc(client, recommend.SPEC, asked, timeout=questions.TIMEOUT)
            for callers in CALLERS:
                key = ("bare", size, callers)
                arms[key] = Arm(f"onnxruntime, {size} rows", callers)
                asks[key] = over_onnxruntime(graph, encoded, threads=callers)
                key = ("recommend", size, callers)
                arms[key] = Arm(f"recommend, {size} rows", callers)
                asks[key] = front
        for key, ask in asks.items():
            await closed_loop(ask, Arm("warm-up", key[2]), max(4, 64 // key[1]))
        for _ in range(ROUNDS):
            for key, ask in asks.items():
                requests = setting.count(ROWS // key[1], least=2 * key[2])
                await closed_loop(ask, arms[key], requests)


def _rate(arm: Arm, rows: int) -> float:
    return len(arm.milliseconds) * rows / arm.seconds
