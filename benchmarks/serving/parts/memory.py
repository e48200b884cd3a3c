"""Resident memory of all server processes over many requests."""

import threading
from collections.abc import Sequence

import numpy as np
import tritonclient.grpc as grpc

from benchmarks.serving import questions
from benchmarks.serving.part import Demand, Result, Setting, Table
from benchmarks.serving.served import Served, resident, serving
from counterpoint.errors import ServerError
from serving.models import recommend
from serving.spec import Arrays

TITLE = "Memory"
ORDER = 6

REQUESTS = 200_000
UNDER_WAY = 8
WARM_UP = 0.1
SAMPLES = 50
GROWTH = 0.05
RULES = (
    b'{"mmr": {"weight": 0.4}}',
    b'{"cap": {"attribute": "genre", "most": 2}}',
    b'{"category": {"none": ["genre=Horror"]}}',
    b'{"explore": {"temperature": 0.5}, "seen": {"policy": "allow"}}',
)


def mixed(ids: Sequence[str], items: Sequence[str], count: int, seed: int) -> list[Arrays]:
    """Return requests of all kinds: known users, histories, attributes, rules, lists of items."""
    random = np.random.default_rng(seed)
    found: list[Arrays] = []
    for number in range(count):
        rows = int(random.choice((1, 1, 1, 4)))
        request = {"k": np.full((rows, 1), random.integers(1, 50), np.int32)}
        kind = number % 5
        if kind < 2:
            request["user_id"] = _column(random.choice(ids, rows))
        if kind in (1, 2):
            request["history"] = _texts(random.choice(items, (rows, random.integers(1, 80))))
        if kind == 3:
            request["attributes"] = _texts(np.array([["age=31", "gender=F"]] * rows))
            request["exclude"] = _texts(random.choice(items, (rows, 20)))
        if number % 3 == 0:
            request["rules"] = np.array([[RULES[number % len(RULES)]]] * rows, dtype=object)
        if kind == 4:
            request["user_id"] = _column([f"stranger {number}"] * rows)
        found.append(request)
    return found


def run(setting: Setting) -> Result:
    """Ask and look at the memory again and again."""
    requests = setting.count(REQUESTS, least=500)
    ids = questions.users(setting.folder, most=10_000)
    items = questions.items(setting.folder)
    asked = mixed(ids, items, 2000, setting.seed)
    samples: list[tuple[int, dict[str, int]]] = []
    with serving(setting) as served, grpc.InferenceServerClient(served.url) as client:
        pids = set(served.processes())
        step = max(1, requests // SAMPLES)
        for done in range(0, requests, step):
            _ask(client, asked, done, min(step, requests - done))
            samples.append((done + step, _by_process(served)))
        same = set(served.processes()) == pids
    warm = [found for done, found in samples if done >= WARM_UP * requests]
    first, last = (_median(part) for part in (warm[:3], warm[-3:]))
    growth = sum(last.values()) / sum(first.values()) - 1
    peak = max(sum(found.values()) for found in warm)
    rows = [
        (name, first[name] / 1e6, last[name] / 1e6, last[name] / first[name] - 1) for name in last
    ]
    rows.append(("all", sum(first.values()) / 1e6, sum(last.values()) / 1e6, growth))
    return Result(
        [
            Demand(
                f"resident memory of all server processes over {requests:,} requests",
                f"within {GROWTH:.0%}",
                f"{growth:+.1%} ({sum(first.values()) / 1e6:.0f} to "
                f"{sum(last.values()) / 1e6:.0f} MB)" + ("" if same else "; a process ended"),
                abs(growth) <= GROWTH and same,
            )
        ],
        f"`counterpoint serve --live`, {UNDER_WAY} requests under way, of all kinds (known users, "
        f"histories up to 79 events, attributes, rules, lists; one row, every fourth of four). "
        f"Medians of the first three and the last three of {len(samples)} looks, the first "
        f"{WARM_UP:.0%} of the requests left out; the greatest sum was {peak / 1e6:.0f} MB.",
        [Table(("process", "MB first", "MB last", "growth"), rows)],
        {"samples": [(done, sum(found.values())) for done, found in samples]},
    )


def _ask(client: grpc.InferenceServerClient, asked: Sequence[Arrays], start: int, n: int) -> None:
    """Ask the next ``n`` requests, a few under way at once."""
    slots, wrong = threading.Semaphore(UNDER_WAY), list[str]()

    def answered(result: object, error: Exception | None) -> None:
        if error is not None:
            wrong.append(str(error))
        slots.release()

    for number in range(start, start + n):
        (inputs,) = questions.prepared(
            grpc.InferInput, recommend.SPEC, [asked[number % len(asked)]]
        )
        slots.acquire()
        client.async_infer("recommend", inputs, answered, client_timeout=questions.TIMEOUT)
    for _ in range(UNDER_WAY):
        slots.acquire()
    if wrong:
        raise ServerError(f"{len(wrong)} requests failed, the first with {wrong[0]}")


def _by_process(served: Served) -> dict[str, int]:
    found: dict[str, int] = {}
    for pid, name in served.processes().items():
        found[name] = found.get(name, 0) + resident([pid])
    return found


def _median(samples: Sequence[dict[str, int]]) -> dict[str, float]:
    return {name: float(np.median([s.get(name, 0) for s in samples])) for name in samples[-1]}


def _texts(values: Sequence[Sequence[str]]) -> np.ndarray:
    return np.array([[str(v).encode() for v in row] for row in values], dtype=object)


def _column(values: Sequence[str]) -> np.ndarray:
    return _texts([[value] for value in values])
