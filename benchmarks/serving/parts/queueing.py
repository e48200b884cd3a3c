"""What rules of the queue cost: the same requests with and without them (serving/limits.py)."""

import time

import numpy as np
import tritonclient.grpc as grpc

from benchmarks.serving import questions
from benchmarks.serving.open_loop import Send, arrivals, open_loop, percentiles
from benchmarks.serving.part import Result, Setting, Table
from benchmarks.serving.served import serving
from serving.models import recommend

TITLE = "Rules of the queue"
ORDER = 2

SETTINGS = {
    "none (the default)": [],
    "`deploy.max_queued_requests=256`": ["deploy.max_queued_requests=256"],
    "`deploy.queue_timeout=1`": ["deploy.queue_timeout=1"],
    "`deploy.priorities=true`": ["deploy.priorities=true"],
}
RATE = 100.0
SECONDS = 20
ROUNDS = 2
PAIRS = 25
SILENCE_SECONDS = 0.7


def run(setting: Setting) -> Result:
    """Ask a server with each setting."""
    rows = []
    for name, settings in SETTINGS.items():
        with (
            serving(setting, settings=settings) as served,
            grpc.InferenceServerClient(served.url) as client,
        ):
            asked = questions.asking(questions.users(setting.folder))
            send = questions.grpc_send(client, grpc.InferInput, recommend.SPEC, asked)
            open_loop(send, arrivals(RATE, setting.count(500), seed=99))
            rows.append((name, *_pairs(send, setting), *_stream(send, setting)))
    return Result(
        (),
        f"One front process, live features. Pairs: two requests at once, then silence, "
        f"{setting.count(PAIRS, least=5)} times; the slower one. Stream: {RATE:.0f} requests/s, "
        f"Poisson arrivals, {ROUNDS} rounds of {setting.count(int(SECONDS * RATE))}.",
        [
            Table(
                ("rules", "pairs: p50", "max ms", "stream: p50", "p99", "max ms", "failed"),
                rows,
            )
        ],
    )


def _pairs(send: Send, setting: Setting) -> tuple[float, float]:
    slower = []
    for _ in range(setting.count(PAIRS, least=5)):
        slower.append(float(open_loop(send, np.zeros(2)).milliseconds.max()))
        time.sleep(SILENCE_SECONDS)
    return float(np.median(slower)), max(slower)


def _stream(send: Send, setting: Setting) -> tuple[float, float, float, int]:
    outcomes = [
        open_loop(
            send, arrivals(RATE, setting.count(int(SECONDS * RATE)), seed=setting.seed + number)
        )
        for number in range(ROUNDS)
    ]
    figures = percentiles(np.concatenate([outcome.milliseconds for outcome in outcomes]))
    failed = sum(len(outcome.failures) for outcome in outcomes)
    return figures["p50_ms"], figures["p99_ms"], figures["max_ms"], failed
