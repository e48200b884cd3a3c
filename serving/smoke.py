"""The smoke test: does a version answer in a real tritonserver as its graphs do in this process?"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from counterpoint import artifacts, columns
from counterpoint.errors import DataError, QualityError, ServerError
from counterpoint.tables import read_json
from counterpoint.user_snapshot import UserSnapshot
from serving.client import Recommendations, RecommendClient
from serving.in_process import InProcess
from serving.models import recommend

TOLERANCE = 1e-4
_K = 10
_TEXT = "Two strangers meet on a night train and talk until the morning."


@dataclass(frozen=True)
class Smoke:
    """Key figures of a passed smoke test.

    Attributes:
        cases: What was asked.
        milliseconds: Median time of an answer of `recommend`.
        score_difference: Largest difference from the answers of this process.
    """

    cases: tuple[str, ...]
    milliseconds: float
    score_difference: float


def cases(version: Path) -> dict[str, dict[str, Any]]:
    """Return the questions: name -> arguments of ``RecommendClient.recommend``.

    Taken from the version itself: a known user with events, that user's events as a history, the
    attributes the profile knows, and nothing at all.
    """
    onnx = version / "onnx"
    contract = read_json(onnx / artifacts.CONTRACT)
    k = min(_K, int(contract["max_k"]))
    asked: dict[str, dict[str, Any]] = {"start page": {"k": k}}
    stored = next(_with_events(onnx / artifacts.USERS_SNAPSHOT), None)
    if stored is not None:
        ids = pl.read_parquet(onnx / artifacts.ITEMS)[columns.ITEM].to_list()
        history = [ids[item - 1] for item in stored.items]
        asked["known user"] = {"user": stored.user_id, "k": k}
        asked["history"] = {"history": history, "positive": list(stored.positive), "k": k}
    tokens = [token for token in contract["profile"] if "=" in token]
    if tokens:
        asked["attributes"] = {"attributes": tokens[:1], "k": k}
    return asked


def run(client: RecommendClient, version: Path, expected: InProcess) -> Smoke:
    """Ask every case and compare.

    Args:
        client: Connected to the scratch server.
        version: Version folder.
        expected: The same repository in this process.

    Raises:
        QualityError: An answer is empty, disordered, repeats seen items, or differs.
    """
    largest, times = 0.0, []
    asked = cases(version)
    for name, arguments in asked.items():
        try:
            started = time.perf_counter()
            answer = client.recommend(**arguments)
            times.append(time.perf_counter() - started)
        except (DataError, ServerError) as error:
            raise QualityError(f"Smoke test, case {name!r}: {error}") from error
        wanted = _expected(expected, arguments)
        faults = _faults(answer, wanted, arguments)
        if faults:
            raise QualityError(
                f"Smoke test, case {name!r} failed: {'; '.join(faults)}. Asked: {arguments}."
            )
        scores = [item.score for item in answer.items]
        largest = max(largest, float(np.abs(np.array(scores) - wanted["score"][0]).max(initial=0)))
    if (version / "onnx" / artifacts.ITEM_ENCODER).is_dir():
        vector = client.encode(_TEXT)
        text = np.array([[_TEXT.encode()]], dtype=object)
        wanted_vector = expected.call("encode", {"text": text}, ["vector"])["vector"][0]
        gap = float(np.abs(vector - wanted_vector).max())
        if not gap <= TOLERANCE:
            raise QualityError(
                f"Smoke test, case 'encode' failed: the vectors differ by {gap:.3g}."
            )
        asked["encode"] = {}
    return Smoke(tuple(asked), round(float(np.median(times)) * 1e3, 3), largest)


def _with_events(path: Path) -> Iterator[Any]:
    """Yield known users with events, well-known ones first among the first thousand."""
    snapshot = UserSnapshot(path)
    try:
        users = [user for user in islice(snapshot, 1000) if len(user.items)]
    finally:
        snapshot.close()
    yield from sorted(users, key=lambda user: -len(user.items))


def _expected(models: InProcess, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    strings = {"user": "user_id", "history": "history", "attributes": "attributes"}
    inputs: dict[str, Any] = {"k": np.array([[arguments["k"]]], np.int32)}
    for key, name in strings.items():
        if key in arguments:
            given = arguments[key]
            values = [given] if isinstance(given, str) else given
            inputs[name] = np.array([[value.encode() for value in values]], dtype=object)
    if "positive" in arguments:
        inputs["history_positive"] = np.array([arguments["positive"]])
    return models.call("recommend", inputs, [tensor.name for tensor in recommend.SPEC.outputs])


def _faults(
    answer: Recommendations, wanted: Mapping[str, Any], arguments: Mapping[str, Any]
) -> list[str]:
    faults = []
    ids = [item.item_id for item in answer.items]
    scores = np.array([item.score for item in answer.items])
    expected = [item.decode() for item in wanted["item_id"][0]]
    if ids != expected:
        faults.append(f"items {ids}, expected {expected}")
    elif not np.allclose(scores, wanted["score"][0], rtol=0, atol=TOLERANCE):
        faults.append(f"scores {scores.tolist()}, expected {wanted['score'][0].tolist()}")
    if not np.isfinite(scores).all() or (np.diff(scores) > 0).any():
        faults.append(f"scores {scores.tolist()} are not finite and descending")
    if len(set(ids)) < len(ids) or set(ids) & set(arguments.get("history", ())):
        faults.append(f"items {ids} repeat each other or the history")
    if not ids and not {"user", "history"} & set(arguments):
        faults.append("no item at all")
    source = wanted["source"][0, 0].decode()
    if answer.source != source:
        faults.append(f"source {answer.source}, expected {source}")
    return faults
