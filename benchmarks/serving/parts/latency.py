"""`recommend` with live features at 100 requests a second, open loop."""

import gc
import os

import numpy as np
import tritonclient.grpc as grpc

from benchmarks.serving import questions, stage_times
from benchmarks.serving.open_loop import Outcome, Spacing, arrivals, open_loop, percentiles
from benchmarks.serving.part import Demand, Result, Setting, Table
from benchmarks.serving.served import Served, cpu_seconds, serving
from serving.models import recommend
from serving.server import HOST

TITLE = "Latency at 100 requests/s"
ORDER = 1

RATE = 100.0
SECONDS = 30
ROUNDS = 5
WARM_UP_SECONDS = 5
P99_MS = 10.0
USED_MS = 0.005


def run(setting: Setting) -> Result:
    """Measure rounds of both spacings in turn; every round counts."""
    ids = questions.users(setting.folder)
    with serving(setting) as served, grpc.InferenceServerClient(served.url) as client:
        send = questions.grpc_send(client, grpc.InferInput, recommend.SPEC, questions.asking(ids))
        open_loop(send, arrivals(RATE, setting.count(int(RATE * WARM_UP_SECONDS)), seed=99))
        rows = []
        outcomes: dict[Spacing, list[Outcome]] = {"poisson": [], "even": []}
        metrics = f"{HOST}:{served.ports.metrics}"
        programs = served.processes() | {os.getpid(): "client"}
        before, cpu = stage_times.read(metrics), cpu_seconds(programs)
        for number in range(ROUNDS):
            for spacing, found in outcomes.items():
                seed = setting.seed + number
                load = os.getloadavg()[0]
                gc.collect()
                gc.freeze()
                due = arrivals(RATE, setting.count(int(RATE * SECONDS)), spacing=spacing, seed=seed)
                outcome = open_loop(send, due)
                found.append(outcome)
                late = float(np.percentile(outcome.late_ms, 99))
                failed = len(outcome.failures)
                shown = percentiles(outcome.milliseconds).values()
                rows.append((f"{spacing}, round {number + 1}", *shown, late, failed, load))
        after, spent = stage_times.read(metrics), cpu_seconds(programs)
        degraded = _degraded(served, ids)
    demands, joined = [], {}
    for spacing, found in outcomes.items():
        pooled = np.concatenate([outcome.milliseconds for outcome in found])
        joined[spacing] = percentiles(pooled)
        failed = sum(len(outcome.failures) for outcome in found)
        p99 = joined[spacing]["p99_ms"]
        demands.append(
            Demand(
                f"`recommend`, live features, {RATE:.0f} requests/s, {spacing} arrivals: p99",
                f"<= {P99_MS:.0f} ms",
                f"{p99:.1f} ms (p50 {joined[spacing]['p50_ms']:.1f}); {failed} failed of "
                f"{len(pooled)}",
                p99 <= P99_MS and not failed and not degraded,
            )
        )
        rows.append((f"{spacing}, all", *joined[spacing].values(), "", failed, ""))
    mean = float(np.mean([o.milliseconds.mean() for found in outcomes.values() for o in found]))
    parts = stage_times.split(before, after, mean)
    asked = after.requests - before.requests
    used = [(name, (spent[name] - cpu[name]) / asked * 1e3) for name in spent]
    return Result(
        demands,
        f"`counterpoint serve --live`: feature server, tritonserver and this client on the same "
        f"{os.cpu_count()} CPUs. {len(ids)} known users of {setting.name}, k = {questions.K}, "
        f"{setting.count(int(RATE * SECONDS))} requests a round. Latencies count from when a "
        f"request was due, so waiting counts. `late` is the p99 of how late requests left this "
        f"process, which is part of their latency. Degraded answers in a sample: {degraded}.",
        [
            Table(("arrivals", "p50", "p90", "p99", "max ms", "late", "failed", "load"), rows),
            Table(("mean of a request", "ms"), parts),
            Table(
                ("process", "CPU ms a request"),
                [row for row in sorted(used, key=lambda row: -row[1]) if row[1] > USED_MS],
            ),
        ],
        {"all": joined, "rate": RATE, "degraded": degraded},
    )


def _degraded(served: Served, ids: list[str]) -> int:
    from serving.client import RecommendClient

    with RecommendClient(served.url, timeout=30) as client:
        return sum(client.recommend(user=user).degraded for user in ids)
