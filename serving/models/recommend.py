"""The front `recommend`: ids and plain values in, items with titles, scores and reasons out.

It reads the questions, chooses the version that answers each, and asks every version once for all
its rows (serving/engine/version.py).
"""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from serving.engine import judge, live_items, routing, text_encoder
from serving.engine.answer import Answer, tensors
from serving.engine.live_folder import Entry
from serving.engine.rule_set import RuleBook
from serving.engine.shadow import Ranking, Shadow
from serving.engine.version import GRAPH_OUTPUTS, EngineVersion, Graph
from serving.engine.versions import Fixed, Loaded, Serving, Versions
from serving.fields import MAX_REQUEST_BYTES
from serving.observe import trace_context
from serving.observe.observer import Answered, Observer, Silent, StopWatch
from serving.observe.trace_context import TraceContext
from serving.query import DEFAULT_K, MAX_TRACE_ID, Query, QueryReader
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
        Tensor("allow", BYTES, (-1,), "Item ids that alone may be shown", optional=True),
        Tensor("exclude", BYTES, (-1,), "Item ids to leave out", optional=True),
        Tensor("rules", BYTES, (1,), "JSON object of rules, see below", optional=True),
        Tensor("k", INT32, (1,), f"Length of the list, default {DEFAULT_K}", optional=True),
        Tensor(
            "trace_id",
            BYTES,
            (1,),
            f"Name of the question, at most {MAX_TRACE_ID} characters; default: the trace's",
            optional=True,
        ),
    ),
    outputs=(
        Tensor("item_id", BYTES, (-1,), "Best first; empty: no item left"),
        Tensor("title", BYTES, (-1,), "Titles of the items"),
        Tensor("score", FLOAT32, (-1,), "Scores of the model; descending unless a rule re-ranks"),
        Tensor("reason", BYTES, (-1, 3), "History items that contributed most, or empty"),
        Tensor("source", BYTES, (1,), "known_user, history, attributes or start_page"),
        Tensor("degraded", BOOL, (1,), "The feature server was down: older features were used"),
        Tensor("unknown_item", BYTES, (-1,), "Ids of the request outside the catalogue: dropped"),
        Tensor("unknown_attribute", BYTES, (-1,), "Attributes the model has not seen: dropped"),
        Tensor("model_version", BYTES, (1,), "Version in the registry"),
        Tensor(
            "propensity",
            FLOAT32,
            (-1,),
            "Probability of the item at its place given those before; -1: nothing was drawn",
        ),
        Tensor("trace_id", BYTES, (1,), "Name of the question, see Trace ids"),
        Tensor("trace", BYTES, (1,), "JSON list: what each rule did"),
    ),
    files=(
        ("contract.json", "onnx/contract.json"),
        ("items.npz", "onnx/items.parquet"),
        ("vectors.npy", "onnx/vectors.npy"),
        ("similarity_map.npy", "onnx/similarity_map.npy"),
        ("users.sqlite", "onnx/users.sqlite"),
    ),
    optional_files=(*text_encoder.SERVED, *judge.SERVED),
    graphs=(("recommender.onnx", "onnx/recommender.onnx"),),
    folders=(("retrieval", "onnx/retrieval"),),
    ragged=True,
)


class Runtime:
    """Answers requests with the versions it has loaded.

    Args:
        folder: Files of the version that the repository was written with, if ``live`` is not given.
        options: ``live``: folder that says which versions to serve; else ``version`` and
            ``number``, Triton's of that version; ``rules``, JSON of the default
            rules; ``max_request_bytes``; ``graph``: ``in_process`` runs the graph here, ``bls``
            asks the model `recommender` for it; those of serving/known_users.py.
        call: Asks other models.
    """

    follows = True
    """It looks after the versions itself (serving/engine/following.py)."""

    traced = True
    """It reads the trace context that stands beside the tensors (serving/backend/model.py)."""

    repeated = (
        "source",
        "degraded",
        "unknown_item",
        "unknown_attribute",
        "model_version",
        "propensity",
        "trace",
    )
    """Outputs that are the same in most answers (serving/kept_tensors.py)."""

    def __init__(self, folder: Path, options: Mapping[str, str], call: Call) -> None:
        self._options = options
        self._call = call
        self._reader = QueryReader(
            RuleBook(json.loads(options.get("rules") or "{}")),
            int(options.get("max_request_bytes", MAX_REQUEST_BYTES)),
        )
        self._observer: Observer = Silent()
        self._shadow: Shadow[Query] = Shadow()
        live = options.get("live")
        self._versions: Versions[EngineVersion] | Fixed[EngineVersion]
        if live:
            self._versions = Versions(Path(live), self._load)
        else:
            entry = Entry(options["version"], int(options.get("number", "1")))
            self._versions = Fixed(folder, entry, self._load)

    def observe(self, observer: Observer) -> None:
        """Report to this observer from now on."""
        self._observer = observer
        self._shadow.meter = observer
        self._versions.tell(self._serves)

    def close(self) -> None:
        """End the threads."""
        self._versions.close()
        self._shadow.close()

    def execute(self, requests: Sequence[Arrays]) -> Sequence[Arrays | InvalidInput]:
        """Answer all requests; a wrong one fails alone."""
        watch = StopWatch(self._observer)
        read = [trace_context.apart(request) for request in requests]
        try:
            return self._execute(read, watch)
        except Exception as error:  # counted, and raised again
            self._observer.failed(error, [trace for _, trace in read])
            raise
        finally:
            self._observer.finish()

    def _execute(
        self, requests: Sequence[tuple[Arrays, TraceContext]], watch: StopWatch
    ) -> Sequence[Arrays | InvalidInput]:
        parsed: list[list[Query] | InvalidInput] = []
        for request, trace in requests:
            try:
                parsed.append(self._reader.read(request, trace))
            except InvalidInput as error:
                parsed.append(error)
        watch.lap("parse")
        serving = self._versions.current()
        queries = [q for rows in parsed if not isinstance(rows, InvalidInput) for q in rows]
        answered = iter(self._answer(serving, queries, watch))
        answers: list[Arrays | InvalidInput] = []
        for rows in parsed:
            if isinstance(rows, InvalidInput):
                answers.append(rows)
                continue
            found = [next(answered) for _ in rows]
            good = [answer for answer in found if isinstance(answer, Answer)]
            wrong = next((answer for answer in found if isinstance(answer, InvalidInput)), None)
            answers.append(tensors(good) if wrong is None else wrong)
            if wrong is None:
                self._tell(serving, rows, good)
        for (_, trace), answer in zip(requests, answers, strict=True):
            if isinstance(answer, InvalidInput):
                self._observer.refused(str(answer), trace)
        watch.lap("answer")
        return answers

    def _answer(
        self, serving: Serving[EngineVersion], queries: Sequence[Query], watch: StopWatch
    ) -> list[Answer | InvalidInput]:
        """Answer each query with the version that serves it."""
        answers: dict[int, Answer | InvalidInput] = {}
        keys = [(query.user_id, query.trace_id) for query in queries]
        for loaded, rows in routing.split(serving, keys):
            before = time.perf_counter()
            with loaded.lock:
                found = loaded.engine.answer([queries[row] for row in rows], watch)
            answers.update(zip(rows, found, strict=True))
            if serving.shadow is not None:
                seconds = (time.perf_counter() - before) / len(rows)
                self._copy(serving.shadow, [queries[row] for row in rows], found, seconds)
        return [answers[row] for row in range(len(queries))]

    def _tell(
        self, serving: Serving[EngineVersion], rows: Sequence[Query], answers: Sequence[Answer]
    ) -> None:
        canary = serving.canary.version if serving.canary else None
        for query, answer in zip(rows, answers, strict=True):
            drawn = len(answer.propensity) and answer.propensity[0] >= 0
            self._observer.answered(
                Answered(
                    trace=query.trace,
                    version=answer.version,
                    source=answer.source,
                    degraded=answer.degraded,
                    items=[item.decode() for item in answer.item_id.tolist()],
                    user=query.user_id,
                    role="canary" if answer.version == canary else "champion",
                    cold=answer.cold,
                    question=answer.trace_id,
                    scores=answer.score.tolist(),
                    propensities=answer.propensity.tolist() if drawn else (),
                    rules=query.rules.options,
                )
            )

    def _serves(self, serving: Serving[EngineVersion]) -> None:
        names = [found.version if found else "" for found in (serving.canary, serving.shadow)]
        self._observer.serves(serving.champion.version, *names)

    def _copy(
        self,
        shadow: Loaded[EngineVersion],
        queries: Sequence[Query],
        answers: Sequence[Answer | InvalidInput],
        seconds: float,
    ) -> None:
        def ask(query: Query) -> Ranking:
            with shadow.lock:
                (answer,) = shadow.engine.answer([query])
            if isinstance(answer, InvalidInput):
                raise answer
            return ranking(answer)

        for query, answer in zip(queries, answers, strict=True):
            if isinstance(answer, Answer):
                self._shadow.offer(
                    query,
                    version=shadow.version,
                    answer=ask,
                    trace_id=query.trace_id,
                    served=answer.version,
                    ranking=ranking(answer),
                    seconds=seconds,
                )

    def _load(self, folder: Path, entry: Entry) -> EngineVersion:
        engine = EngineVersion(
            folder,
            version=entry.version,
            graph=self._graph(folder, entry.number),
            options=self._options,
            live=live_items.follow(folder, self._options),
        )
        if self._options.get("graph") != "bls":
            # Before anybody waits for it: the first run of a graph is slow, and one that cannot
            # run must not take over. (Other models cannot be asked while a front starts.)
            begun = trace_context.continued()
            (answer,) = engine.answer(self._reader.read({"k": np.ones((1, 1), np.int32)}, begun))
            if isinstance(answer, InvalidInput):
                raise answer
        return engine

    def _graph(self, folder: Path, number: int) -> Graph:
        if self._options.get("graph") == "bls":
            return lambda inputs: self._call("recommender", inputs, GRAPH_OUTPUTS, number=number)
        from serving.engine.retrieval import open_graph

        threads = int(self._options.get("threads", "1"))
        return open_graph(folder / "recommender.onnx", threads=threads).run


def ranking(answer: Answer) -> Ranking:
    """Return what is compared with the shadow."""
    return Ranking([item.decode() for item in answer.item_id], answer.score.tolist())
