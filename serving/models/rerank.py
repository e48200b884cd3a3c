"""The front `rerank`: how much a user will like given items, and how they will rate them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from serving.engine import judge
from serving.engine.answer import Answer, column
from serving.engine.rule_set import RuleBook
from serving.engine.version import GRAPH_OUTPUTS, EngineVersion, Graph
from serving.fields import MAX_REQUEST_BYTES, pad, rows_of, text_rows
from serving.observe import trace_context
from serving.query import Query, QueryReader
from serving.spec import BOOL, BYTES, FLOAT32, Arrays, Call, InvalidInput, ModelSpec, Tensor

SPEC = ModelSpec(
    name="rerank",
    doc="Says how much a user will like given items, and how they will rate them.",
    inputs=(
        Tensor("item_id", BYTES, (-1,), "Candidates"),
        Tensor("user_id", BYTES, (1,), "Known user, or empty", optional=True),
        Tensor("history", BYTES, (-1,), "Item ids, oldest first", optional=True),
        Tensor("history_positive", BOOL, (-1,), "Liked? Default: yes", optional=True),
        Tensor("attributes", BYTES, (-1,), "`name=value`; numbers may be raw", optional=True),
    ),
    outputs=(
        Tensor("item_id", BYTES, (-1,), "The candidates, most liked first"),
        Tensor("title", BYTES, (-1,), "Titles of the items"),
        Tensor("liking", FLOAT32, (-1,), "Probability, among candidates like those of training"),
        Tensor("rating", FLOAT32, (-1,), "Expected rating; NaN: the data have none"),
        Tensor("score", FLOAT32, (-1,), "Scores of `recommend`"),
        Tensor("source", BYTES, (1,), "As of `recommend`"),
        Tensor("degraded", BOOL, (1,), "As of `recommend`"),
        Tensor("unknown_item", BYTES, (-1,), "Ids of the request outside the catalogue: dropped"),
        Tensor("model_version", BYTES, (1,), "Version in the registry"),
    ),
    files=(
        ("contract.json", "onnx/contract.json"),
        ("items.npz", "onnx/items.parquet"),
        ("vectors.npy", "onnx/vectors.npy"),
        ("similarity_map.npy", "onnx/similarity_map.npy"),
        ("users.sqlite", "onnx/users.sqlite"),
    ),
    optional_files=judge.SERVED,
    graphs=(("recommender.onnx", "onnx/recommender.onnx"),),
    folders=(("retrieval", "onnx/retrieval"),),
    requires="onnx/reranker.onnx",
    ragged=True,
)

RULES = json.dumps({"rerank": {}, "seen": {"policy": "allow"}, "availability": None}).encode()
"""Of the question behind: every candidate is judged, also one that was seen or is not shown now."""


class Runtime:
    """Judges candidates with one version.

    Args:
        folder: Files of the version.
        options: As of `recommend`.
        call: Asks `recommender`, in the cluster form.
    """

    traced = True
    """It reads the trace context that stands beside the tensors (serving/backend/model.py)."""

    def __init__(self, folder: Path, options: Mapping[str, str], call: Call) -> None:
        self._options, self._call = options, call
        self._reader = QueryReader(
            RuleBook(), int(options.get("max_request_bytes", MAX_REQUEST_BYTES))
        )
        self._engine = EngineVersion(
            folder, version=options["version"], graph=self._graph(folder), options=options
        )

    def execute(self, requests: Sequence[Arrays]) -> Sequence[Arrays | InvalidInput]:
        """Answer each request; a wrong one fails alone."""
        return [self._execute(request) for request in requests]

    def _execute(self, request: Arrays) -> Arrays | InvalidInput:
        try:
            queries = self._read(*trace_context.apart(request))
        except InvalidInput as error:
            return error
        answers = self._engine.answer(queries)
        wrong = next((answer for answer in answers if isinstance(answer, InvalidInput)), None)
        return wrong or _tensors([answer for answer in answers if isinstance(answer, Answer)])

    def _read(self, request: Arrays, trace: trace_context.TraceContext) -> list[Query]:
        if "item_id" not in request:
            raise InvalidInput("item_id: the tensor is missing; send the ids of the candidates.")
        candidates = [list(dict.fromkeys(row)) for row in text_rows(request, "item_id")]
        rows, most = rows_of(request, but=set()), self._engine.max_k
        for row in candidates:
            if not 1 <= len(row) <= most:
                raise InvalidInput(
                    f"item_id: {len(row)} candidates are not allowed; send 1 to {most} for a row."
                )
        rest = {name: value for name, value in request.items() if name != "item_id"}
        ks = np.array([[len(row)] for row in candidates], dtype=np.int32).reshape(rows, 1)
        rules = np.array([[RULES]], dtype=object)
        asked = {**rest, "allow": pad(candidates), "k": ks, "rules": rules}
        return self._reader.read(asked, trace)

    def _graph(self, folder: Path) -> Graph:
        if self._options.get("graph") == "bls":
            return lambda inputs: self._call("recommender", inputs, GRAPH_OUTPUTS)
        from serving.engine.retrieval import open_graph

        threads = int(self._options.get("threads", "1"))
        return open_graph(folder / "recommender.onnx", threads=threads).run


def _tensors(answers: Sequence[Answer]) -> Arrays:
    rows, width = len(answers), max(len(answer.item_id) for answer in answers)
    texts = {name: np.full((rows, width), b"", dtype=object) for name in ("item_id", "title")}
    numbers = {
        name: np.full((rows, width), np.nan, np.float32) for name in ("liking", "rating", "score")
    }
    for row, answer in enumerate(answers):
        count = len(answer.item_id)
        liking = np.full(count, np.nan, np.float32) if answer.liking is None else answer.liking
        # By liking alone; what the re-ranker cannot judge comes last.
        order = np.argsort(-np.nan_to_num(liking, nan=-1.0), kind="stable")
        for name, values in (texts | numbers).items():
            found = getattr(answer, name)
            if found is not None:
                values[row, :count] = found[order]
    return {
        **texts,
        **numbers,
        "source": column([answer.source for answer in answers]),
        "degraded": np.array([[answer.degraded] for answer in answers]),
        "unknown_item": pad([answer.unknown_items for answer in answers]),
        "model_version": column([answer.version for answer in answers]),
    }
