"""The front `similar`: items like one item, or like several of them together."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from serving.engine import live_items, text_encoder
from serving.engine.answer import column
from serving.engine.live_view import LiveView
from serving.engine.rule_set import RuleBook
from serving.engine.similar import MAX_K, Similar, SimilarItems
from serving.engine.version import read_catalogue, read_contract
from serving.fields import MAX_REQUEST_BYTES, pad, rows_of, text_rows
from serving.observe import trace_context
from serving.observe.trace_context import TraceContext
from serving.query import DEFAULT_K, MAX_TRACE_ID, Query, QueryReader
from serving.spec import BYTES, FLOAT32, INT32, Arrays, Call, InvalidInput, ModelSpec, Tensor

SPEC = ModelSpec(
    name="similar",
    doc="Finds the items most like an item, or like several of them together.",
    inputs=(
        Tensor("item_id", BYTES, (-1,), "Known items; several stand for their mean"),
        Tensor("allow", BYTES, (-1,), "Item ids that alone may be shown", optional=True),
        Tensor("exclude", BYTES, (-1,), "Item ids to leave out", optional=True),
        Tensor("rules", BYTES, (1,), "JSON object of rules, as of `recommend`", optional=True),
        Tensor(
            "k",
            INT32,
            (1,),
            f"Length of the list up to {MAX_K}, default {DEFAULT_K}",
            optional=True,
        ),
        Tensor(
            "trace_id",
            BYTES,
            (1,),
            f"Name of the question, at most {MAX_TRACE_ID} characters; default: the trace's",
            optional=True,
        ),
    ),
    outputs=(
        Tensor("item_id", BYTES, (-1,), "Most similar first; empty: no item left"),
        Tensor("title", BYTES, (-1,), "Titles of the items"),
        Tensor("score", FLOAT32, (-1,), "Cosines; descending unless a rule re-ranks"),
        Tensor("unknown_item", BYTES, (-1,), "Ids of allow and exclude outside the catalogue"),
        Tensor("model_version", BYTES, (1,), "Version in the registry"),
        Tensor("propensity", FLOAT32, (-1,), "As of `recommend`"),
        Tensor("trace_id", BYTES, (1,), "Name of the question, see Trace ids"),
        Tensor("trace", BYTES, (1,), "JSON list: what each rule did"),
    ),
    files=(
        ("contract.json", "onnx/contract.json"),
        ("items.npz", "onnx/items.parquet"),
        ("vectors.npy", "onnx/vectors.npy"),
        ("similarity_map.npy", "onnx/similarity_map.npy"),
    ),
    optional_files=text_encoder.SERVED,
    ragged=True,
)


class Runtime:
    """Answers requests from the items of a version.

    Args:
        folder: Files of the version.
        options: ``version``; ``rules``, JSON of the default rules; ``max_request_bytes``;
            ``live_items``, the store of what was added, changed and removed since.
        call: Not used.
    """

    traced = True
    """It reads the trace context that stands beside the tensors (serving/backend/model.py)."""

    def __init__(self, folder: Path, options: Mapping[str, str], call: Call) -> None:
        contract = read_contract(folder)
        self._reader = QueryReader(
            RuleBook(json.loads(options.get("rules") or "{}")),
            int(options.get("max_request_bytes", MAX_REQUEST_BYTES)),
        )
        self._version = options["version"]
        self._base = read_catalogue(folder)
        self._items = SimilarItems(self._base, self._version)
        self._view: LiveView | None = None
        follow = live_items.follow(folder, options)
        self._live = None if follow is None else follow(contract, self._base.index)

    def execute(self, requests: Sequence[Arrays]) -> Sequence[Arrays | InvalidInput]:
        """Answer each request; a wrong one fails alone."""
        self._refresh()
        return [self._execute(request) for request in requests]

    def _refresh(self) -> None:
        view = None if self._live is None else self._live()
        if view is not None and view is not self._view:
            self._items = SimilarItems(self._base.extended(view), self._version)
            self._view = view

    def _execute(self, request: Arrays) -> Arrays | InvalidInput:
        try:
            items, queries = self._read(*trace_context.apart(request))
        except InvalidInput as error:
            return error
        answers = self._items.answer(items, queries)
        wrong = next((answer for answer in answers if isinstance(answer, InvalidInput)), None)
        return wrong or _tensors([answer for answer in answers if isinstance(answer, Similar)])

    def _read(self, request: Arrays, trace: TraceContext) -> tuple[list[list[str]], list[Query]]:
        if "item_id" not in request:
            raise InvalidInput("item_id: the tensor is missing; send the ids of known items.")
        size = rows_of(request, but={"rules"})
        rest = {name: value for name, value in request.items() if name != "item_id"}
        default = np.full((size, 1), DEFAULT_K, np.int32)
        return text_rows(request, "item_id"), self._reader.read({"k": default, **rest}, trace)


def _tensors(answers: Sequence[Similar]) -> Arrays:
    rows, width = len(answers), max(len(answer.item_id) for answer in answers)
    item_id = np.full((rows, width), b"", dtype=object)
    title = np.full((rows, width), b"", dtype=object)
    score = np.zeros((rows, width), np.float32)
    propensity = np.full((rows, width), -1, np.float32)
    for row, answer in enumerate(answers):
        part = slice(len(answer.item_id))
        item_id[row, part] = answer.item_id
        title[row, part] = answer.title
        score[row, part] = answer.score
        propensity[row, part] = answer.propensity
    return {
        "item_id": item_id,
        "title": title,
        "score": score,
        "unknown_item": pad([answer.unknown_items for answer in answers]),
        "model_version": column([answer.version for answer in answers]),
        "propensity": propensity,
        "trace_id": column([answer.trace_id for answer in answers]),
        "trace": column([answer.trace for answer in answers]),
    }
