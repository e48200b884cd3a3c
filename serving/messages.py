"""What the clients send and receive: tensors of typed questions, typed answers, faults."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from tritonclient.utils import InferenceServerException

from counterpoint.errors import DataError, ServerError
from serving.models import recommend, similar
from serving.questions import Question, SimilarQuestion
from serving.spec import BYTES, ModelSpec

MOST_ROWS = recommend.SPEC.max_batch_size
"""Most questions of one request; more are sent as several."""

_NUMPY: dict[str, Any] = {
    "BYTES": np.object_,
    "BOOL": np.bool_,
    "INT32": np.int32,
    "INT64": np.int64,
    "FP32": np.float32,
}

ANOTHERS = "string data for inference input"
"""Triton's Python backend refuses all requests of a batch for one whose strings do not fit their
bytes. What the clients send always fits."""

Tensors = dict[str, tuple[str, npt.NDArray[Any]]]
"""Name -> (dtype, array with the batch dimension first)."""


@dataclass(frozen=True)
class Recommendation:
    """One recommended item.

    Attributes:
        item_id: The item.
        title: Its title, the id where it has none.
        score: Of the model.
        reasons: Items of the history that contributed most.
        propensity: Probability of the item at its place given those before it; none: nothing was
            drawn.
    """

    item_id: str
    title: str
    score: float
    reasons: Sequence[str] = ()
    propensity: float | None = None


@dataclass(frozen=True)
class Recommendations:
    """One answer; the fields are those of the served model (docs/serving.md).

    Attributes:
        items: Best first.
        source: known_user, history, attributes or start_page; empty for similar items.
        model_version: Version that answered.
        degraded: Older or fewer features than usual were used.
        unknown_items: Ids of the request outside the catalogue.
        unknown_attributes: Attributes the model has not seen.
        trace_id: Name of the question.
        trace: JSON: what each rule did.
    """

    items: Sequence[Recommendation]
    source: str
    model_version: str
    degraded: bool = False
    unknown_items: Sequence[str] = ()
    unknown_attributes: Sequence[str] = ()
    trace_id: str = ""
    trace: str = "[]"


@dataclass(frozen=True)
class Judgement:
    """What `rerank` says of one item.

    Attributes:
        item_id: The item.
        title: Its title, the id where it has none.
        liking: Probability, among candidates like those of training; none: the re-ranker does not
            know the item.
        rating: Expected rating; none: the data have none.
        score: Of `recommend`.
    """

    item_id: str
    title: str
    liking: float | None
    rating: float | None
    score: float


@dataclass(frozen=True)
class Judgements:
    """One answer of `rerank`.

    Attributes:
        items: Most liked first.
        source: As of ``Recommendations``.
        model_version: Version that answered.
        degraded: Older or fewer features than usual were used.
        unknown_items: Ids of the request outside the catalogue.
    """

    items: Sequence[Judgement]
    source: str
    model_version: str
    degraded: bool
    unknown_items: Sequence[str]


def tensors(spec: ModelSpec, rows: Sequence[Mapping[str, Sequence[Any]]]) -> Tensors:
    """Return the tensors of several rows, shorter ones filled up.

    Args:
        spec: The model asked.
        rows: Entries of each input tensor. Inputs that no row has anything for are left out.

    Raises:
        DataError: Entries cannot be sent; names the field.
    """
    found: Tensors = {}
    for tensor in spec.inputs:
        given = [row.get(tensor.name, ()) for row in rows]
        width = max(map(len, given))
        if tensor.optional and not any(any(_said(value) for value in row) for row in given):
            continue
        array = np.zeros((len(rows), width), dtype=_NUMPY[tensor.dtype])
        if tensor.dtype == BYTES:
            array[:] = b""
        for place, row in enumerate(given):
            try:
                entries = [value.encode() for value in row] if tensor.dtype == BYTES else row
                if len(entries):
                    array[place, : len(entries)] = entries
            except (OverflowError, ValueError, TypeError, AttributeError) as error:
                raise DataError(f"{tensor.name}: {row!r} cannot be sent ({error}).") from error
        found[tensor.name] = (tensor.dtype, array)
    return found


def requests(
    questions: Sequence[Question] | Sequence[SimilarQuestion],
) -> Iterator[tuple[ModelSpec, Tensors]]:
    """Yield the requests that ask all questions.

    Raises:
        DataError: A question cannot be sent; names the field.
    """
    for start in range(0, len(questions), MOST_ROWS):
        part = questions[start : start + MOST_ROWS]
        spec = recommend.SPEC if isinstance(part[0], Question) else similar.SPEC
        yield spec, tensors(spec, [question.values() for question in part])


def recommendations(outputs: Mapping[str, npt.NDArray[Any]]) -> list[Recommendations]:
    """Return the answers of the rows of `recommend` or `similar`."""
    rows = len(outputs["item_id"])
    return [_answer({name: value[row] for name, value in outputs.items()}) for row in range(rows)]


def judgements(outputs: Mapping[str, npt.NDArray[Any]]) -> Judgements:
    """Return the first row of an answer of `rerank`."""
    row = {name: value[0] for name, value in outputs.items()}

    def number(name: str, place: int) -> float | None:
        value = float(row[name][place])
        return None if np.isnan(value) else value

    items = [
        Judgement(
            item.decode(),
            row["title"][place].decode(),
            number("liking", place),
            number("rating", place),
            float(row["score"][place]),
        )
        for place, item in enumerate(row["item_id"].tolist())
        if item
    ]
    return Judgements(
        items,
        row["source"][0].decode(),
        row["model_version"][0].decode(),
        bool(row["degraded"][0]),
        _texts(row["unknown_item"]),
    )


def explain(error: InferenceServerException, url: str, seconds: float) -> DataError | ServerError:
    """Return what a person is told of a failed call."""
    status, message = str(error.status()), error.message()
    if "INVALID_ARGUMENT" in status:
        return DataError(f"The server refuses the request: {message}")
    if "DEADLINE_EXCEEDED" in status:
        return ServerError(
            f"The server {url} did not answer within {seconds:g} s. Raise the timeout, or look at "
            f"the server's load and log."
        )
    if _wants_token(error):
        return ServerError(
            f"The server {url} asks for a token: {message}. Give the client the token for "
            f"inference (Credentials.token; `counterpoint recommend --credentials FOLDER`)."
        )
    if "UNAVAILABLE" in status and ("queue size" in message or "timeout expired" in message):
        return ServerError(f"The server {url} is overloaded: {message}. Try again a little later.")
    if "UNAVAILABLE" in status:
        return ServerError(
            f"No server answers at {url}. Start one with `counterpoint serve`, or name another. "
            f"One with TLS answers only those who show credentials (`--credentials FOLDER`)."
        )
    return ServerError(f"The server {url} failed: {status} {message}. Look at its log.")


def retried(error: InferenceServerException) -> bool:
    """Whether a failed attempt may be repeated: nobody answered, or the fault was another's."""
    status = str(error.status())
    if _wants_token(error):
        return False
    if "INVALID_ARGUMENT" in status:
        return ANOTHERS in error.message()
    return "UNAVAILABLE" in status or "DEADLINE_EXCEEDED" in status


def _wants_token(error: InferenceServerException) -> bool:
    """Whether a token was missing or wrong, for which Triton has no status of its own."""
    return "restricted" in error.message() and "UNAVAILABLE" in str(error.status())


def _answer(row: Mapping[str, Any]) -> Recommendations:
    reasons = row.get("reason")
    items = [
        Recommendation(
            item_id=item.decode(),
            title=row["title"][rank].decode(),
            score=float(row["score"][rank]),
            reasons=[r.decode() for r in reasons[rank] if r] if reasons is not None else (),
            propensity=chance if (chance := float(row["propensity"][rank])) >= 0 else None,
        )
        for rank, item in enumerate(row["item_id"].tolist())
        if item
    ]
    return Recommendations(
        items=items,
        source=row["source"][0].decode() if "source" in row else "",
        model_version=row["model_version"][0].decode(),
        degraded=bool(row["degraded"][0]) if "degraded" in row else False,
        unknown_items=_texts(row["unknown_item"]),
        unknown_attributes=_texts(row.get("unknown_attribute", ())),
        trace_id=row["trace_id"][0].decode(),
        trace=row["trace"][0].decode(),
    )


def _texts(values: Sequence[bytes]) -> list[str]:
    return [value.decode() for value in values if value]


def _said(value: Any) -> bool:
    return not isinstance(value, str) or value != ""
