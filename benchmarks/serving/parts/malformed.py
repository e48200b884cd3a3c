"""Wrong requests of every kind: each is refused by a message that names its field."""

import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from random import Random
from typing import Any

import grpc
from tritonclient.grpc import service_pb2_grpc

from benchmarks.serving import questions
from benchmarks.serving.malformed import (
    http_cases,
    model_cases,
    protocol_cases,
    rule_cases,
    tensor_cases,
)
from benchmarks.serving.malformed.case import Case, draw
from benchmarks.serving.part import Demand, Result, Setting, Table
from benchmarks.serving.served import Served, serving
from counterpoint.errors import CounterpointError, ServerError
from serving.client import RecommendClient

TITLE = "Malformed requests"
ORDER = 4

REQUESTS = 100_000
UNDER_WAY = 16
BLOCK = 500
"""After so many wrong requests, right ones are asked and compared."""

SHARES = {"gRPC": 0.9, "HTTP": 0.05, "feature server": 0.02, "raw": 0.03}
RARE = 200
EXAMPLES = 40


@dataclass
class Report:
    """What became of the wrong requests.

    Attributes:
        statuses: (transport, status) -> how many.
        kinds: Kind -> how many.
        faults: (kind, what is wrong with the answer) -> how many.
        examples: Messages of such answers.
    """

    statuses: Counter[tuple[str, str]] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    faults: Counter[tuple[str, str]] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)

    def note(self, transport: str, kind: str, status: str, fault: str | None, text: str) -> None:
        """Count an answer."""
        self.statuses[transport, status] += 1
        self.kinds[kind] += 1
        if fault is not None:
            self.faults[kind, fault[:80]] += 1
            if len(self.examples) < EXAMPLES and self.faults[kind, fault[:80]] <= 2:
                self.examples.append(f"{kind}: {fault}: {text[:300]}")


def run(setting: Setting) -> Result:
    """Send wrong requests by all transports, right ones in between."""
    total = setting.count(REQUESTS, least=1000)
    report, random = Report(), Random(setting.seed)
    users = questions.users(setting.folder, most=20)
    started = time.monotonic()
    with serving(setting) as served, RecommendClient(served.url, timeout=60) as client:
        before, wanted = set(served.processes()), _right(client, users)
        blocks, wrong = 0, 0
        cases = _cases(int(total * SHARES["gRPC"]), setting.seed)
        while block := list(islice(cases, BLOCK)):
            _over_grpc(served, block, report)
            _others(served, len(block) / SHARES["gRPC"], random, report)
            blocks += 1
            wrong += not _still_right(client, users, wanted)
        lost = sorted(name for pid, name in served.processes().items() if pid not in before)
        ended = len(before - set(served.processes()))
    asked = sum(report.statuses.values())
    faults = sum(report.faults.values())
    unnamed = sum(n for (_, fault), n in report.faults.items() if fault.startswith("names no"))
    return Result(
        [
            Demand(
                f"{asked:,} malformed requests: crashes, or wrong answers to right requests after",
                "0",
                f"{ended} processes ended, {wrong} of {blocks} checks failed",
                not ended and not wrong and not lost,
            ),
            Demand(
                "… answered with a status whose message names the field",
                "all",
                f"{asked - faults:,} of {asked:,} ({unnamed} name no field, "
                f"{faults - unnamed} have another status or none)",
                not faults,
            ),
        ],
        f"Generated from seed {setting.seed} (benchmarks/serving/malformed): {len(report.kinds)} "
        f"kinds of mistakes, {UNDER_WAY} under way at once. After each {BLOCK} of them "
        f"{len(users)} right requests are asked and compared with the answers before. Odd requests "
        f"that are not surely wrong may be answered; a request in one batch with one of broken "
        f"strings may get that one's refusal (docs/serving.md). "
        f"{asked / (time.monotonic() - started):.0f} a "
        f"second.",
        [
            Table(
                ("transport and status", "answers"),
                [(f"{t}: {status}", n) for (t, status), n in sorted(report.statuses.items())],
            ),
            Table(
                ("mistake", "requests", "answers at fault"),
                [
                    (kind, n, sum(m for (k, _), m in report.faults.items() if k == kind))
                    for kind, n in sorted(report.kinds.items())
                ],
            ),
        ],
        {
            "faults": [[*key, n] for key, n in report.faults.most_common()],
            "examples": report.examples,
        },
    )


def _cases(count: int, seed: int) -> Iterator[Case]:
    makers = [*tensor_cases.MAKERS, *protocol_cases.MAKERS, *rule_cases.MAKERS, *model_cases.MAKERS]
    rare = draw([*tensor_cases.RARE, *rule_cases.RARE, *model_cases.RARE], count // RARE + 1, seed)
    for number, case in enumerate(draw(makers, count, seed)):
        yield next(rare) if number % RARE == 0 else case


def _over_grpc(served: Served, cases: Sequence[Case], report: Report) -> None:
    slots, lock = threading.Semaphore(UNDER_WAY), threading.Lock()

    def answered(case: Case, call: Any) -> None:
        error = call.exception()
        status = "OK" if error is None else error.code().name
        text = "" if error is None else str(error.details())
        with lock:
            report.note("gRPC", case.kind, status, case.fault(status, text), f"{status} {text}")
        slots.release()

    with grpc.insecure_channel(served.url) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        for case in cases:
            slots.acquire()
            call = stub.ModelInfer.future(case.request, timeout=30)
            call.add_done_callback(partial(answered, case))
        for _ in range(UNDER_WAY):
            slots.acquire()


def _others(served: Served, count: float, random: Random, report: Report) -> None:
    for transport, address, make in (
        ("HTTP", served.http, http_cases.tritons),
        ("feature server", served.features, http_cases.features),
    ):
        for _ in range(round(count * SHARES[transport])):
            case = make(random)
            status, fault = http_cases.ask(address, case)
            report.note(transport, case.kind, status, fault, repr(case.body[:200]))
    for _ in range(round(count * SHARES["raw"])):
        status, fault = http_cases.raw_bytes(served.url, random)
        report.note("raw bytes to the gRPC port", "raw bytes", status, fault, "")


def _right(client: RecommendClient, users: Sequence[str]) -> list[list[str]]:
    return [[item.item_id for item in client.recommend(user=user).items] for user in users]


def _still_right(
    client: RecommendClient, users: Sequence[str], wanted: Sequence[Sequence[str]]
) -> bool:
    with suppress(CounterpointError, ServerError):
        return _right(client, users) == wanted
    return False
