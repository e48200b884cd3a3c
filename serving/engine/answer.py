"""Answers of single rows, and the output tensors of a request made from them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from serving.engine.item_table import Texts
from serving.fields import pad
from serving.spec import Arrays

REASONS = 3


@dataclass(slots=True)
class Answer:
    """The list of one row; n items, best first.

    Attributes:
        item_id: (n,) UTF-8.
        title: (n,) UTF-8.
        score: (n,) float32 scores of the model.
        reason: (n, 3) ids of history items, empty where there are fewer.
        propensity: (n,) float32, -1 where nothing was drawn.
        source: known_user, history, attributes or start_page.
        degraded: Older or fewer features than usual were used.
        unknown_items: Ids of the request outside the catalogue.
        unknown_attributes: Attributes that the model has not seen.
        version: Version that answered.
        trace_id: Names the question.
        trace: JSON: what each rule did.
        liking: (n,) float32 probabilities of the re-ranker, NaN: not judged; none: not asked.
        rating: (n,) float32 its ratings, as ``liking``.
        cold: How many of the items had no interactions when the version was trained.
    """

    item_id: Texts
    title: Texts
    score: npt.NDArray[np.float32]
    reason: npt.NDArray[np.object_]
    propensity: npt.NDArray[np.float32]
    source: str
    degraded: bool
    unknown_items: Sequence[str]
    unknown_attributes: Sequence[str]
    version: str
    trace_id: str
    trace: str
    liking: npt.NDArray[np.float32] | None = None
    rating: npt.NDArray[np.float32] | None = None
    cold: int = 0


def tensors(answers: Sequence[Answer]) -> Arrays:
    """Return the output tensors of `recommend` for the rows of one request."""
    return {
        "item_id": rows([answer.item_id for answer in answers], b""),
        "title": rows([answer.title for answer in answers], b""),
        "score": rows([answer.score for answer in answers], 0),
        "reason": rows([answer.reason for answer in answers], b""),
        "source": column([answer.source for answer in answers]),
        "degraded": np.array([[answer.degraded] for answer in answers]),
        "unknown_item": pad([answer.unknown_items for answer in answers]),
        "unknown_attribute": pad([answer.unknown_attributes for answer in answers]),
        "model_version": column([answer.version for answer in answers]),
        "propensity": rows([answer.propensity for answer in answers], -1),
        "trace_id": column([answer.trace_id for answer in answers]),
        "trace": column([answer.trace for answer in answers]),
    }


def rows(parts: Sequence[npt.NDArray[Any]], filling: object) -> npt.NDArray[Any]:
    """Return (B, n, …) arrays of equal type as one, shorter ones filled up to the longest.

    Args:
        parts: (n, …) for each row; n may differ.
        filling: Stands where a row has no more.
    """
    if len(parts) == 1:
        return parts[0][None]
    width = max(len(part) for part in parts)
    found = np.full((len(parts), width, *parts[0].shape[1:]), filling, dtype=parts[0].dtype)
    for row, part in enumerate(parts):
        found[row, : len(part)] = part
    return found


def column(values: Sequence[str]) -> npt.NDArray[np.object_]:
    """Return (B, 1) UTF-8 strings."""
    array = np.empty((len(values), 1), dtype=object)
    array[:, 0] = [value.encode() for value in values]
    return array
