"""Version swaps under load: every answer must be that of the version it names."""

import itertools
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tritonclient.grpc as grpc

from benchmarks.serving import questions, variants
from benchmarks.serving.open_loop import Done, Outcome, arrivals, open_loop, percentiles
from benchmarks.serving.part import Demand, Result, Setting, Table
from benchmarks.serving.served import Served, serving
from counterpoint.errors import CounterpointError
from serving.models import recommend
from serving.spec import Arrays

TITLE = "Swaps under load"
ORDER = 3

RATE = 100.0
SWAPS = 20
BETWEEN_SECONDS = 2.0
BLOCK_SECONDS = 5.0
BROKEN_AT = 4
TOLERANCE = 1e-3
"""Of scores: the graph's batches differ by less, the versions by far more."""

Expected = Mapping[str, Sequence[tuple[list[bytes], list[float]]]]
"""Version -> items and scores of each question."""


class Judge:
    """Compares answers with what the version that they name answers."""

    def __init__(self, expected: Expected) -> None:
        self.versions: Counter[str] = Counter()
        self.mixed: list[str] = []
        self._expected = expected

    def look(self, number: int, answer: Any) -> str | None:
        """Return what is wrong with the answer to a question."""
        version = answer.as_numpy("model_version")[0, 0].decode()
        known = self._expected.get(version)
        if known is None:
            self.mixed.append(f"names the version {version!r}")
            return self.mixed[-1]
        items, scores = known[number % len(known)]
        got = answer.as_numpy("item_id")[0].tolist(), answer.as_numpy("score")[0].tolist()
        self.versions[version] += 1
        if not same((items, scores), got):
            self.mixed.append(f"question {number % len(known)}, {version}: {got[0]}, not {items}")
            return self.mixed[-1]
        return None


def same(wanted: tuple[list[bytes], list[float]], got: tuple[list[bytes], list[float]]) -> bool:
    """Whether two lists are the same up to the order of equal scores."""
    if len(wanted[0]) != len(got[0]) or not np.allclose(wanted[1], got[1], atol=TOLERANCE, rtol=0):
        return False
    last = wanted[1][-1] if wanted[1] else 0.0
    # Items as good as the last one may be others; all others must be there.
    sure = {item for item, score in zip(*wanted, strict=True) if score > last + TOLERANCE}
    return sure <= set(got[0])


def run(setting: Setting) -> Result:
    """Swap between three versions, and once to a broken one."""
    asked = questions.asking(questions.users(setting.folder))
    original = setting.folder / "onnx"
    folders = {"a": original}
    for seed, name in enumerate("bc", 1):
        folders[name] = variants.differing(original, setting.scratch / name / "onnx", seed)
    folders["x"] = variants.broken(original, setting.scratch / "x" / "onnx")
    swaps = setting.count(SWAPS, least=6)
    order = [name for name, _ in zip(itertools.cycle("bca"), range(swaps), strict=False)]
    order[BROKEN_AT] = "x"
    with serving(setting, folders, settings=["deploy.poll_seconds=0.1"]) as served:
        expected = {
            served.names[name]: precomputed(setting, folders[name].parent, served, name, asked)
            for name in "abc"
        }
        apart(expected)
        judge, seconds, wrong = Judge(expected), [], []
        swapped = threading.Thread(target=_swap, args=(served, order, seconds, wrong))
        with grpc.InferenceServerClient(served.url) as client:
            ready = questions.prepared(grpc.InferInput, recommend.SPEC, asked)

            def send(number: int, done: Done) -> None:
                def answered(result: Any, error: Exception | None) -> None:
                    done(str(error) if error is not None else judge.look(number, result))

                client.async_infer("recommend", ready[number % len(ready)], answered)

            swapped.start()
            outcomes: list[Outcome] = []
            while swapped.is_alive():
                due = arrivals(RATE, int(RATE * BLOCK_SECONDS), seed=setting.seed + len(outcomes))
                outcomes.append(open_loop(send, due))
            # What comes after the last swap counts too.
            outcomes.append(open_loop(send, arrivals(RATE, int(RATE), seed=setting.seed)))
            swapped.join()
    mixed = len(judge.mixed)
    failures = [text for outcome in outcomes for text in outcome.failures.values()]
    failed = len(failures) - mixed
    met = not failed and not mixed and not wrong
    latencies = np.concatenate([outcome.milliseconds for outcome in outcomes])
    figures = percentiles(latencies)
    return Result(
        [
            Demand(
                f"{swaps} swaps, one of them to a broken version, at {RATE:.0f} requests/s: failed "
                f"or mixed answers",
                "0",
                f"{failed} failed, {mixed} mixed of {len(latencies)}"
                + (f"; {'; '.join(wrong)}" if wrong else ""),
                met,
            )
        ],
        f"`counterpoint serve --live` with three versions that answer differently and one that "
        f"cannot be loaded; the champion pointer of the registry moves every "
        f"{BETWEEN_SECONDS:g} s. Open loop, Poisson arrivals. Every answer is compared (items, "
        f"scores to {TOLERANCE:g}) with what the version it names answers, computed before.",
        [
            Table(
                ("swap", "s from the moved pointer to the last model's status"),
                [("median", float(np.median(seconds))), ("slowest", max(seconds))],
            ),
            Table(
                ("answers of", "count"),
                [(name, judge.versions[served.names[name]]) for name in "abc"],
            ),
            Table(("latency meanwhile", "ms"), list(figures.items())),
        ],
        {"failures": failures[:20], "seconds": seconds},
    )


def precomputed(
    setting: Setting, version: Any, served: Served, name: str, asked: Sequence[Arrays]
) -> list[tuple[list[bytes], list[float]]]:
    """Return what a version answers to each question, from its files and the same features."""
    options = {
        "version": name,
        "feature_server": served.features,
        "feature_service": setting.config.deploy.feature_service,
        "feature_timeout": "10",
    }
    target = setting.scratch / f"models of {name}"
    with questions.front(version, target, options, alone) as runtime:
        answers = [questions.answer(runtime, question) for question in asked]
    if any(answer["degraded"].any() for answer in answers):
        raise CounterpointError("The feature server did not answer while answers were precomputed.")
    return [(a["item_id"][0].tolist(), a["score"][0].tolist()) for a in answers]


def alone(
    model: str, inputs: Arrays, outputs: Sequence[str], *, number: int | None = None
) -> Arrays:
    """Refuse to ask another model: the front runs the graph itself."""
    raise AssertionError(f"{model} was asked")


def apart(expected: Expected) -> None:
    """Check that the answers tell the versions apart.

    Raises:
        CounterpointError: Two versions answer a question alike.
    """
    for one, other in itertools.combinations(expected.values(), 2):
        alike = sum(same(a, b) for a, b in zip(one, other, strict=True))
        if alike:
            raise CounterpointError(f"Two versions answer {alike} questions alike.")


def _swap(served: Served, order: Sequence[str], seconds: list[float], wrong: list[str]) -> None:
    for name in order:
        time.sleep(BETWEEN_SECONDS)
        version = served.names[name]
        try:
            served.registry.promote(version, why="benchmark")
            followed = served.follow()
        except CounterpointError as error:
            wrong.append(str(error))
            return
        seconds.append(followed.seconds)
        if set(followed.errors) != ({version} if name == "x" else set()):
            wrong.append(f"swap to {name}: {dict(followed.errors)}")
