"""The front `recommend`: ids and plain values in, items with titles, scores and reasons out.

It looks known users up, turns ids into indices and attributes into the profile, asks `recommender`
once for the whole batch, and turns indices back into ids.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from counterpoint.user_snapshot import StoredUser
from serving.fields import MAX_REQUEST_BYTES, pad
from serving.known_users import KnownUsers
from serving.observe import trace_context
from serving.observe.observer import Answered, Observer, Silent, StopWatch
from serving.observe.trace_context import TraceContext
from serving.query import DEFAULT_K, Query, QueryReader
from serving.spec import (
    BOOL,
    BYTES,
    FLOAT32,
    INT32,
    INT64,
    Arrays,
    Call,
    InvalidInput,
    ModelSpec,
    Tensor,
)

SPEC = ModelSpec(
    name="recommend",
    doc="Recommends items to a known user, a history, attributes, or nobody in particular.",
    inputs=(
        Tensor("user_id", BYTES, (1,), "Known user, or empty", optional=True),
        Tensor("history", BYTES, (-1,), "Item ids, oldest first", optional=True),
        Tensor(
            "history_timestamp", INT64, (-1,), "Microseconds since 1970 or all 0", optional=True
        ),
        Tensor("history_positive", BOOL, (-1,), "Liked? Default: yes", optional=True),
        Tensor("attributes", BYTES, (-1,), "`name=value`; numbers may be raw", optional=True),
        Tensor("exclude", BYTES, (-1,), "Item ids to leave out", optional=True),
        Tensor("k", INT32, (1,), f"Length of the list, default {DEFAULT_K}", optional=True),
    ),
    outputs=(
        Tensor("item_id", BYTES, (-1,), "Best first; empty: no item left"),
        Tensor("title", BYTES, (-1,), "Titles of the items"),
        Tensor("score", FLOAT32, (-1,), "Scores, descending; comparable within one answer"),
        Tensor("reason", BYTES, (-1, 3), "History items that contributed most, or empty"),
        Tensor("source", BYTES, (1,), "known_user, history, attributes or start_page"),
        Tensor("degraded", BOOL, (1,), "The feature server was down: older features were used"),
        Tensor("unknown_item", BYTES, (-1,), "Ids of the request outside the catalogue: dropped"),
        Tensor("unknown_attribute", BYTES, (-1,), "Attributes the model has not seen: dropped"),
        Tensor("model_version", BYTES, (1,), "Version in the registry"),
        Tensor("trace_id", BYTES, (1,), "Trace of the request: its traceparent's, else a new one"),
    ),
    files=(
        ("contract.json", "onnx/contract.json"),
        ("items.json", "onnx/items.parquet"),
        ("users.sqlite", "onnx/users.sqlite"),
    ),
    ragged=True,
)


class Runtime:
    """Answers requests from the files beside it."""

    def __init__(self, folder: Path, options: Mapping[str, str], call: Call) -> None:
        contract = json.loads((folder / "contract.json").read_text("utf-8"))
        catalogue = json.loads((folder / "items.json").read_text("utf-8"))
        self._ids: list[str] = ["", *catalogue["item_id"]]
        self._titles: list[str] = ["", *catalogue["title"]]
        self._index = {item: i for i, item in enumerate(self._ids) if item}
        self._profile = {token: i for i, token in enumerate(contract["profile"])}
        self._reader = QueryReader(
            self._index,
            profile=self._profile,
            attributes=contract["attributes"].get("user", {}),
            max_k=int(contract["max_k"]),
            max_bytes=int(options.get("max_request_bytes", MAX_REQUEST_BYTES)),
        )
        self._length = int(contract["history_length"])
        self._cold = frozenset(contract["cold"])
        self._users = KnownUsers(folder, options, self._index)
        self._version = options["version"]
        self._call = call
        self._observer: Observer = Silent()

    def observe(self, observer: Observer) -> None:
        """Report to this observer from now on."""
        self._observer = observer
        observer.serves(self._version)

    def execute(self, requests: Sequence[Arrays]) -> Sequence[Arrays | InvalidInput]:
        """Answer all requests with one call of `recommender`."""
        traces = [trace_context.of(request) for request in requests]
        try:
            return self._execute(requests, traces)
        except Exception as error:
            self._observer.failed(error, traces)
            raise
        finally:
            self._observer.finish()

    def _execute(
        self, requests: Sequence[Arrays], traces: Sequence[TraceContext]
    ) -> Sequence[Arrays | InvalidInput]:
        watch = StopWatch(self._observer)
        parsed: list[list[Query] | InvalidInput] = []
        for request, trace in zip(requests, traces, strict=True):
            try:
                parsed.append(self._reader.read(request, trace))
            except InvalidInput as error:
                parsed.append(error)
                self._observer.refused(str(error), trace)
        watch.lap("parse")
        queries = [q for rows in parsed if not isinstance(rows, InvalidInput) for q in rows]
        if not queries:
            return [rows for rows in parsed if isinstance(rows, InvalidInput)]
        self._add_known(queries)
        watch.lap("users")
        best = self._call("recommender", self._encode(queries), ["item", "score", "reason"])
        watch.lap("graph")
        answers: list[Arrays | InvalidInput] = []
        start = 0
        for rows in parsed:
            if isinstance(rows, InvalidInput):
                answers.append(rows)
                continue
            part = slice(start, start + len(rows))
            start = part.stop
            answers.append(self._decode(rows, {n: value[part] for n, value in best.items()}))
        watch.lap("answer")
        return answers

    def _add_known(self, queries: Sequence[Query]) -> None:
        """Put what the store knows before what the request says, and name the answer's source."""
        wanted = list(dict.fromkeys(q.user_id for q in queries if q.user_id))
        headers = next((q.trace.headers for q in queries if q.user_id), {})
        known, degraded = self._users.get(wanted, headers)
        for query in queries:
            stored: StoredUser | None = known.get(query.user_id)
            query.degraded = query.user_id in degraded
            if stored is not None:
                past = zip(stored.items, stored.positive, strict=True)
                query.events = [*past, *query.events]
                # An attribute that the request names replaces the stored one.
                named = {token.partition("=")[0] for token in query.attributes}
                query.attributes += [
                    t
                    for t in stored.attributes
                    if t in self._profile and t.partition("=")[0] not in named
                ]
                query.source = "known_user"
            elif query.events:
                query.source = "history"
            elif query.attributes:
                query.source = "attributes"
            # The graph excludes the history it sees; what is older must not come back either.
            query.exclude += [item for item, _ in query.events[: -self._length]]
            query.events = query.events[-self._length :]

    def _encode(self, queries: Sequence[Query]) -> dict[str, npt.NDArray[np.generic]]:
        size = len(queries)
        length = max(1, max(len(q.events) for q in queries))
        history = np.zeros((size, length), np.int64)
        age = np.zeros((size, length), np.float32)
        kind = np.zeros((size, length), np.int64)
        profile = np.zeros((size, max(1, len(self._profile))), np.float32)
        exclude = np.zeros((size, max(1, max(len(q.exclude) for q in queries))), np.int64)
        for row, query in enumerate(queries):
            liked = np.array([flag for _, flag in query.events], dtype=bool)
            end = len(liked)
            history[row, :end] = [item for item, _ in query.events]
            age[row, :end] = liked.sum() - np.cumsum(liked)
            kind[row, :end] = np.where(liked, 1, 2)
            profile[row, [self._profile[token] for token in query.attributes]] = 1
            exclude[row, : len(query.exclude)] = query.exclude
        k = np.array([[min(q.k, len(self._index))] for q in queries], np.int64)
        return {
            "history": history,
            "history_age": age,
            "history_kind": kind,
            "profile": profile,
            "exclude": exclude,
            "k": k,
        }

    def _decode(self, rows: Sequence[Query], best: Arrays) -> Arrays:
        items = [
            [int(i) for i in row[: q.k] if i] for q, row in zip(rows, best["item"], strict=True)
        ]
        width = max(map(len, items))
        score = np.zeros((len(rows), width), np.float32)
        reason = np.full((len(rows), width, 3), b"", dtype=object)
        for row, (query, chosen) in enumerate(zip(rows, items, strict=True)):
            score[row, : len(chosen)] = best["score"][row, : len(chosen)]
            for rank in range(len(chosen)):
                positions = [int(p) for p in best["reason"][row, rank] if p]
                names = [self._ids[query.events[p - 1][0]] for p in positions]
                reason[row, rank, : len(names)] = [name.encode() for name in names]
            self._observer.answered(
                Answered(
                    trace=query.trace,
                    version=self._version,
                    source=query.source,
                    degraded=query.degraded,
                    items=[self._ids[i] for i in chosen],
                    user=query.user_id,
                    cold=sum(i in self._cold for i in chosen),
                    scores=score[row, : len(chosen)].tolist(),
                )
            )
        return {
            "item_id": pad([[self._ids[i] for i in row] for row in items]),
            "title": pad([[self._titles[i] for i in row] for row in items]),
            "score": score,
            "reason": reason,
            "source": pad([[q.source] for q in rows]),
            "degraded": np.array([[q.degraded] for q in rows]),
            "unknown_item": pad([q.unknown_items for q in rows]),
            "unknown_attribute": pad([q.unknown_attributes for q in rows]),
            "model_version": pad([[self._version]] * len(rows)),
            "trace_id": pad([[q.trace.trace_id] for q in rows]),
        }
