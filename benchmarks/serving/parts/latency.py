"""`recommend` with live features at 100 requests a second, open loop."""

import gc
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import tritonclient.grpc as grpc

from benchmarks.serving import questions, stage_times
from benchmarks.serving.evenness import AFTER_SECONDS, Evenness, watching
from benchmarks.serving.open_loop import (
    Done,
    Outcome,
    Send,
    Spacing,
    arrivals,
    open_loop,
    percentiles,
)
from benchmarks.serving.part import Demand, Result, Setting, Table
from benchmarks.serving.served import Served, cpu_seconds, serving
from counterpoint import artifacts
from serving.models import recommend
from serving.onnx_session import OnnxSession
from serving.server import HOST

TITLE = "Latency at 100 requests/s"
ORDER = 1

RATE = 100.0
SECONDS = 20
ROUNDS = 5
WARM_UP_SECONDS = 5
INSTANCES = (1, 2)
FLUSH_SECONDS = 2.5
"""The front tells its times once a second."""

P99_MS = 10.0
USED_MS = 0.005

Row = tuple[object, ...]


@dataclass
class Measured:
    """What was seen with one number of front processes.

    Attributes:
        demands: p99 of each spacing.
        rounds: Rows of the table of rounds.
        machine: Row of the table of the machine.
        stages: Mean milliseconds of a request by where they went.
        used: CPU milliseconds of a request by process.
        degraded: Degraded answers in a sample.
    """

    demands: list[Demand]
    rounds: list[Row]
    machine: Row
    stages: list[tuple[str, float]]
    used: dict[str, float]
    degraded: int


def run(setting: Setting) -> Result:
    """Measure with one and with two front processes, one after the other."""
    alone, machine = limit(setting)
    found = {instances: measure(setting, instances) for instances in INSTANCES}
    first = next(iter(found.values()))
    names = [name for name, _ in first.stages]
    stages = [(name, *(dict(m.stages)[name] for m in found.values())) for name in names]
    programs = sorted(first.used, key=lambda name: -first.used[name])
    used = [(name, *(m.used.get(name, 0.0) for m in found.values())) for name in programs]
    heads = [f"{instances} front{'s' if instances > 1 else ''}" for instances in found]
    return Result(
        [demand for each in found.values() for demand in each.demands],
        f"`counterpoint serve --live` with `deploy.instances` 1 and 2: feature server, "
        f"tritonserver and this client on the same {os.cpu_count()} CPUs. Known users of "
        f"{setting.name}, k = {questions.K}, {setting.count(int(RATE * SECONDS))} requests a "
        f"round. Latencies count from when a request was due, so waiting counts. `late` is the "
        f"p99 of how late requests left this process, which is part of their latency. The first "
        f"row is what the machine allows: the same questions, encoded before, to bare onnxruntime "
        f"in this process, evenly spaced, while nothing else runs. Even stretches: requests with "
        f"no stretch within their time, or {AFTER_SECONDS:g} s before, in which a CPU ran at less "
        f"than a third of its usual speed (benchmarks/serving/evenness.py). Degraded "
        f"answers in a sample: {sum(each.degraded for each in found.values())}.",
        [
            Table(
                ("fronts, arrivals", "p50", "p90", "p99", "max ms", "late", "failed", "load"),
                [*alone, *(row for each in found.values() for row in each.rounds)],
            ),
            Table(
                ("the machine during", "µs of a burst", "% of bursts that were slow"),
                [machine, *(each.machine for each in found.values())],
            ),
            Table(("mean ms of a request", *heads), stages),
            Table(("CPU ms of a request", *heads), [row for row in used if row[1] > USED_MS]),
        ],
    )


def limit(setting: Setting) -> tuple[list[Row], Row]:
    """Return the rows of bare onnxruntime, asked as evenly and as often as `recommend`."""
    asked = questions.asking(questions.users(setting.folder))
    encoded = questions.encode(setting.folder, setting.scratch / "limit", asked)
    graph = OnnxSession(setting.folder / "onnx" / artifacts.RECOMMENDER_ONNX)

    def send(number: int, done: Done) -> None:
        graph.run(encoded[number % len(encoded)])
        done(None)

    open_loop(send, arrivals(RATE, setting.count(int(RATE * WARM_UP_SECONDS)), spacing="even"))
    due = arrivals(RATE, setting.count(int(RATE * SECONDS)), spacing="even")
    with watching() as machine:
        outcome = open_loop(send, due)
    late = float(np.percentile(outcome.late_ms, 99))
    shown = percentiles(outcome.milliseconds).values()
    name = "bare onnxruntime alone, even"
    rows: list[Row] = [(name, *shown, late, len(outcome.failures), os.getloadavg()[0])]
    calm, share = in_even_stretches(machine, [outcome])
    if len(calm):
        rows.append(_calm_row(name, calm, share))
    return rows, _machine_row(name, machine)


def measure(setting: Setting, instances: int) -> Measured:
    """Measure rounds of both spacings in turn; every round counts."""
    ids = questions.users(setting.folder)
    settings = [f"deploy.instances={instances}"]
    with (
        serving(setting, settings=settings) as served,
        grpc.InferenceServerClient(served.url) as client,
    ):
        send = questions.grpc_send(client, grpc.InferInput, recommend.SPEC, questions.asking(ids))
        open_loop(send, arrivals(RATE, setting.count(int(RATE * WARM_UP_SECONDS)), seed=99))
        metrics = f"{HOST}:{served.ports.metrics}"
        programs = served.processes() | {os.getpid(): "client"}
        time.sleep(FLUSH_SECONDS)
        before, cpu = stage_times.read(metrics), cpu_seconds(programs)
        with watching() as machine:
            rows, outcomes = _rounds(setting, send, instances)
        spent = cpu_seconds(programs)
        time.sleep(FLUSH_SECONDS)
        after = stage_times.read(metrics)
        degraded = _degraded(served, ids)
    demands = []
    for spacing, found in outcomes.items():
        name = (
            f"`recommend`, live features, {RATE:.0f} requests/s, {spacing} arrivals, "
            f"{instances} front process{'es' if instances > 1 else ''}: p99"
        )
        pooled = np.concatenate([outcome.milliseconds for outcome in found])
        failed = sum(len(outcome.failures) for outcome in found)
        good = not failed and not degraded
        faults = f"; {failed} failed of {len(pooled)}"
        demands.append(_demand(name, pooled, faults, good=good))
        rows.append((f"{instances}, {spacing}, all", *percentiles(pooled).values(), "", failed, ""))
        calm, share = in_even_stretches(machine, found)
        if len(calm):
            left = f"; {share:.0%} of the requests"
            demands.append(_demand(f"{name} in even stretches", calm, left, good=good))
            rows.append(_calm_row(f"{instances}, {spacing}", calm, share))
    mean = float(np.mean([o.milliseconds.mean() for found in outcomes.values() for o in found]))
    asked = after.requests - before.requests
    return Measured(
        demands,
        rows,
        _machine_row(f"{instances} front{'s' if instances > 1 else ''}", machine),
        stage_times.split(before, after, mean),
        {name: (spent[name] - cpu[name]) / asked * 1e3 for name in spent},
        degraded,
    )


def _rounds(
    setting: Setting, send: Send, instances: int
) -> tuple[list[Row], dict[Spacing, list[Outcome]]]:
    rows: list[Row] = []
    outcomes: dict[Spacing, list[Outcome]] = {"poisson": [], "even": []}
    for number in range(ROUNDS):
        for spacing, found in outcomes.items():
            load = os.getloadavg()[0]
            gc.collect()
            gc.freeze()
            due = arrivals(
                *(RATE, setting.count(int(RATE * SECONDS))),
                spacing=spacing,
                seed=setting.seed + number,
            )
            outcome = open_loop(send, due)
            found.append(outcome)
            late = float(np.percentile(outcome.late_ms, 99))
            shown = percentiles(outcome.milliseconds).values()
            name = f"{instances}, {spacing}, round {number + 1}"
            rows.append((name, *shown, late, len(outcome.failures), load))
    return rows, outcomes


def in_even_stretches(
    machine: Evenness, outcomes: Sequence[Outcome]
) -> tuple[npt.NDArray[np.float64], float]:
    """Return the milliseconds of the requests in even stretches, and their share of all."""
    kept = [
        outcome.milliseconds[
            machine.even(outcome.moments, outcome.moments + outcome.milliseconds / 1e3)
        ]
        for outcome in outcomes
    ]
    found = np.concatenate(kept)
    return found, len(found) / sum(len(outcome.milliseconds) for outcome in outcomes)


def _demand(what: str, milliseconds: npt.NDArray[np.float64], remark: str, *, good: bool) -> Demand:
    figures = percentiles(milliseconds)
    return Demand(
        what,
        f"<= {P99_MS:.0f} ms",
        f"{figures['p99_ms']:.1f} ms (p50 {figures['p50_ms']:.1f}){remark}",
        figures["p99_ms"] <= P99_MS and good,
    )


def _calm_row(name: str, milliseconds: npt.NDArray[np.float64], share: float) -> Row:
    shown = percentiles(milliseconds).values()
    return (f"{name}, even stretches ({share:.0%})", *shown, "", "", "")


def _machine_row(name: str, machine: Evenness) -> Row:
    return name, machine.burst_us, 100 * machine.slow_share


def _degraded(served: Served, ids: list[str]) -> int:
    from serving.client import RecommendClient

    with RecommendClient(served.url, timeout=30) as client:
        return sum(client.recommend(user=user).degraded for user in ids)
