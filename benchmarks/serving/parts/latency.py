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
from benchmarks.serving.steadiness import AFTER_SECONDS, Steadiness, watching
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

SPACINGS: tuple[Spacing, ...] = ("poisson", "even")

Row = tuple[object, ...]


@dataclass(frozen=True)
class Round:
    """One run of the open loop.

    Attributes:
        spacing: Of the arrivals.
        number: 0 for the first of this spacing.
        outcome: What became of its requests.
        load: Load of the machine when it began.
    """

    spacing: Spacing
    number: int
    outcome: Outcome
    load: float


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
        f"in this process, evenly spaced, while nothing else runs. Steady: the requests in whose "
        f"time, and {AFTER_SECONDS:g} s before, no CPU ran at less than a third of its usual speed "
        f"(benchmarks/serving/steadiness.py). Degraded "
        f"answers in a sample: {sum(each.degraded for each in found.values())}.",
        [
            Table(
                (
                    *("fronts, arrivals", "p50", "p90", "p99", "max ms", "late", "failed", "load"),
                    *("steady %", "steady p50", "steady p99"),
                ),
                [alone, *(row for each in found.values() for row in each.rounds)],
            ),
            Table(
                ("the machine during", "µs of a burst", "% of bursts that were slow"),
                [machine, *(each.machine for each in found.values())],
            ),
            Table(("mean ms of a request", *heads), stages),
            Table(("CPU ms of a request", *heads), [row for row in used if row[1] > USED_MS]),
        ],
    )


def limit(setting: Setting) -> tuple[Row, Row]:
    """Return the row of bare onnxruntime, asked as evenly and as often as `recommend`."""
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
    name = "bare onnxruntime alone, even"
    return _row(name, [outcome], machine, os.getloadavg()[0]), _machine_row(name, machine)


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
            rounds = [
                _round(setting, send, spacing, number)
                for number in range(ROUNDS)
                for spacing in SPACINGS
            ]
        spent = cpu_seconds(programs)
        time.sleep(FLUSH_SECONDS)
        after = stage_times.read(metrics)
        degraded = _degraded(served, ids)
    demands, rows = [], []
    for each in rounds:
        name = f"{instances}, {each.spacing}, round {each.number + 1}"
        rows.append(_row(name, [each.outcome], machine, each.load))
    for spacing in SPACINGS:
        outcomes = [each.outcome for each in rounds if each.spacing == spacing]
        name = (
            f"`recommend`, live features, {RATE:.0f} requests/s, {spacing} arrivals, "
            f"{instances} front process{'es' if instances > 1 else ''}: p99"
        )
        every = np.concatenate([outcome.milliseconds for outcome in outcomes])
        failed = sum(len(outcome.failures) for outcome in outcomes)
        good = not failed and not degraded
        demands.append(_demand(name, every, f"{failed} failed of {len(every)}", good=good))
        steady = in_steady_stretches(machine, outcomes)
        if len(steady):
            share = f"{len(steady) / len(every):.0%} of the requests"
            demands.append(_demand(f"{name} in steady stretches", steady, share, good=good))
        rows.append(_row(f"{instances}, {spacing}, all", outcomes, machine, None))
    mean = float(np.mean([each.outcome.milliseconds.mean() for each in rounds]))
    asked = after.requests - before.requests
    return Measured(
        demands,
        rows,
        _machine_row(f"{instances} front{'s' if instances > 1 else ''}", machine),
        stage_times.split(before, after, mean),
        {name: (spent[name] - cpu[name]) / asked * 1e3 for name in spent},
        degraded,
    )


def _round(setting: Setting, send: Send, spacing: Spacing, number: int) -> Round:
    load = os.getloadavg()[0]
    gc.collect()
    gc.freeze()
    count = setting.count(int(RATE * SECONDS))
    due = arrivals(RATE, count, spacing=spacing, seed=setting.seed + number)
    return Round(spacing, number, open_loop(send, due), load)


def in_steady_stretches(
    machine: Steadiness, outcomes: Sequence[Outcome]
) -> npt.NDArray[np.float64]:
    """Return the milliseconds of the requests in steady stretches."""
    found = []
    for outcome in outcomes:
        end = outcome.moments + outcome.milliseconds / 1e3
        found.append(outcome.milliseconds[machine.steady(outcome.moments, end)])
    return np.concatenate(found)


def _demand(what: str, milliseconds: npt.NDArray[np.float64], remark: str, *, good: bool) -> Demand:
    figures = percentiles(milliseconds)
    return Demand(
        what,
        f"<= {P99_MS:.0f} ms",
        f"{figures['p99_ms']:.1f} ms (p50 {figures['p50_ms']:.1f}); {remark}",
        figures["p99_ms"] <= P99_MS and good,
    )


def _row(name: str, outcomes: Sequence[Outcome], machine: Steadiness, load: float | None) -> Row:
    every = np.concatenate([outcome.milliseconds for outcome in outcomes])
    late = float(np.percentile(np.concatenate([o.late_ms for o in outcomes]), 99))
    failed = sum(len(outcome.failures) for outcome in outcomes)
    steady = in_steady_stretches(machine, outcomes)
    shown = percentiles(steady) if len(steady) else {"p50_ms": "", "p99_ms": ""}
    return (
        *(name, *percentiles(every).values(), late, failed, "" if load is None else load),
        *(100 * len(steady) / len(every), shown["p50_ms"], shown["p99_ms"]),
    )


def _machine_row(name: str, machine: Steadiness) -> Row:
    return name, machine.burst_us, 100 * machine.slow_share


def _degraded(served: Served, ids: list[str]) -> int:
    from serving.client import RecommendClient

    with RecommendClient(served.url, timeout=30) as client:
        return sum(client.recommend(user=user).degraded for user in ids)
