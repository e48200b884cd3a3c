"""Everything of one loaded version: its items, its known users and its graph."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from counterpoint import artifacts
from counterpoint.attributes import normalise
from serving.engine import item_table, judge, question
from serving.engine.answer import Answer
from serving.engine.catalogue import Catalogue, LiveView
from serving.engine.eligible import Filters, bounds
from serving.engine.lists import Lists
from serving.engine.question import Best, Question
from serving.feature_connection import NOTHING
from serving.known_users import KnownUsers
from serving.observe.observer import UNTIMED, StopWatch
from serving.query import Query
from serving.rules._rule import Indices
from serving.rules.rerank import Rerank
from serving.spec import Arrays, InvalidInput

MAX_CELLS = 4_000_000
"""Bound of rows x longest list of allowed and excluded items of one run of the graph."""

DEEPER = 2
"""Rows that want more than this many times the items of another are asked apart."""

IN_PROCESS_EVENTS = 4096
"""Rows x longest history of one run of the graph on a CPU: less splits too often, more computes too
much padding."""

GRAPH_OUTPUTS = ("item", "score", "reason", "taste")

RERANK = "rerank"
"""Name of the rule that a version with a re-ranker applies by itself."""

Follow = Callable[[Mapping[str, Any], Mapping[str, int]], Callable[[], LiveView]]
"""Contract and index of a version -> what returns the live items at this moment, the same object
while nothing has changed."""

Graph = Callable[[Arrays], Arrays]
"""Runs `recommender`."""


class UnfitVersion(Exception):
    """The files of a version cannot be served by this code; the message says why."""


class EngineVersion:
    """Answers queries with one version.

    Args:
        folder: ``contract.json``, ``items.npz``, ``vectors.npy``, ``users.sqlite``.
        version: Name in the registry.
        graph: Runs the version's graph.
        most_events: Bound of rows x longest history of one run.
        options: Of the model: where known users are found (serving/known_users.py).
        live: Opens the live items for a contract and an index (serving/engine/live_items.py); none:
            there are none.

    Raises:
        UnfitVersion: The version was exported for other code.
    """

    def __init__(
        self,
        folder: Path,
        *,
        version: str,
        graph: Graph,
        options: Mapping[str, str],
        most_events: int = IN_PROCESS_EVENTS,
        live: Follow | None = None,
    ) -> None:
        self.version = version
        contract = read_contract(folder)
        self.max_k = int(contract["max_k"])
        self._length = int(contract["history_length"])
        self._profile = {token: i for i, token in enumerate(contract["profile"])}
        self._spec = contract["attributes"].get("user", {})
        self._cold = np.array(contract["cold"], dtype=np.int64)
        self._reranker = judge.find(folder, contract, threads=int(options.get("threads", "1")))
        self._second = bool(self._reranker and self._reranker.weight)
        self._graph = graph
        self._most_events = most_events
        self._base = read_catalogue(folder)
        self._live = None if live is None else live(contract, self._base.index)
        self._view = None if self._live is None else self._live()
        self._use(self._base if self._view is None else self._base.extended(self._view))
        self._users = KnownUsers(folder, options, self._base.index)

    @property
    def catalogue(self) -> Catalogue:
        """The items at this moment."""
        return self._catalogue

    def check(self, query: Query) -> None:
        """Check what depends on the version.

        Raises:
            InvalidInput: Names the field.
        """
        if not 1 <= query.k <= self.max_k:
            raise InvalidInput(f"k: {query.k} is out of range; allowed are 1 to {self.max_k}.")

    def answer(
        self, queries: Sequence[Query], watch: StopWatch = UNTIMED
    ) -> list[Answer | InvalidInput]:
        """Answer each query, or say what is wrong with it.

        Args:
            queries: The questions.
            watch: Times the stages.
        """
        self._refresh()
        watch.lap("live_items")
        wanted = list(dict.fromkeys(q.user_id for q in queries if q.user_id))
        # One lookup for all of them belongs to one trace: that of the first.
        trace = next((q.trace.headers for q in queries if q.user_id), NOTHING)
        known, degraded = self._users.get(wanted, trace)
        watch.lap("users")
        asked: list[Question | InvalidInput] = []
        for query in queries:
            try:
                self.check(query)
                stored = known.get(query.user_id) if query.user_id else None
                asked.append(self._question(query, stored, query.user_id in degraded))
            except InvalidInput as error:
                asked.append(error)
        good = [row for row in asked if isinstance(row, Question)]
        watch.lap("rules")
        if not good:
            return [row for row in asked if isinstance(row, InvalidInput)]
        best, probes = self._ask(good)
        watch.lap("graph")
        made = iter(self._lists.make(good, best, probes, watch))
        return [next(made) if isinstance(row, Question) else row for row in asked]

    def _use(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._filters = Filters(catalogue)
        self._lists = Lists(catalogue, self.version, self._cold, self._reranker)

    def _refresh(self) -> None:
        if self._live is None:
            return
        view = self._live()
        if view is not self._view:
            self._use(self._base.extended(view))
            self._view = view

    def _question(self, query: Query, stored: Any, degraded: bool) -> Question:
        """Put what the store knows before what the request says, in indices of this version."""
        index = self._catalogue.index
        unknown = [
            i for ids in (query.history, query.allow, query.exclude) for i in ids if i not in index
        ]
        events = [
            (index[i], flag)
            for i, flag in zip(query.history, query.liked, strict=True)
            if i in index
        ]
        items = np.array([item for item, _ in events], dtype=np.int64)
        liked = np.array([flag for _, flag in events], dtype=bool)
        attributes, strange = self._attributes(query.attributes)
        source = "history" if len(items) else "attributes" if attributes else "start_page"
        if stored is not None:
            source = "known_user"
            items = np.concatenate([np.asarray(stored.items, dtype=np.int64), items])
            liked = np.concatenate([np.asarray(stored.positive, dtype=bool), liked])
            # An attribute that the request names replaces the stored one.
            named = {token.partition("=")[0] for token in attributes}
            attributes += [t for t in stored.attributes if t.partition("=")[0] not in named]
        seen = items
        in_graph = items <= self._catalogue.n_graph
        if not in_graph.all():
            items, liked = items[in_graph], liked[in_graph]
        exclude = [index[item] for item in query.exclude if item in index]
        barred = np.array(exclude, dtype=np.int64)
        if not query.rules.repeats and len(seen) > len(items[-self._length :]):
            # The graph leaves out the history it sees; what it does not must not come back either.
            barred = np.concatenate([barred, seen[~in_graph], items[: -self._length]])
        eligible = self._filters.apply(query.rules)
        allow = [index[item] for item in query.allow if item in index] if query.allow else None
        row = Question(
            query=query,
            items=items[-self._length :],
            liked=liked[-self._length :],
            seen=seen,
            filtered=eligible.trace,
            profile=[self._profile[token] for token in attributes if token in self._profile],
            bounds=bounds(
                self._catalogue,
                eligible,
                allow=None if allow is None else np.array(allow, dtype=np.int64),
                exclude=barred,
            ),
            source=source,
            degraded=degraded,
            unknown_items=list(dict.fromkeys(unknown)) if unknown else (),
            unknown_attributes=strange,
        )
        row.later, row.reranks = query.rules.later, query.rules.reranks
        if self._second and RERANK not in query.rules.named:
            # Of the rules that are no filters it is the first.
            row.later, row.reranks = {RERANK: Rerank(), **row.later}, True
        if row.reranks:
            probes = [rule.wanted(self._catalogue) for rule in row.later.values()]
            row.probe = np.unique(np.concatenate(probes))
        return row

    def _probe(self, row: Question) -> Indices:
        """Return the items of the graph that are wanted and may be given."""
        wanted, allow = row.probe[row.probe <= self._catalogue.n_graph], row.bounds.allow
        return np.intersect1d(wanted, allow) if len(allow) else wanted

    def _attributes(self, given: Sequence[str]) -> tuple[list[str], list[str]]:
        """Return the tokens the model knows and those it does not."""
        if not given:
            return [], []
        try:
            found = normalise(given, self._spec)
        except ValueError as error:
            raise InvalidInput(f"attributes: {error} Send for example age=31.") from None
        known = [token for token in found if token in self._profile]
        return known, [token for token in found if token not in self._profile]

    def _ask(self, rows: Sequence[Question]) -> tuple[list[Best], list[Best | None]]:
        """Return the graph's best items of each row, and those of its probe where it has one."""
        best: list[Best | None] = [None] * (2 * len(rows))
        most = min(self.max_k, self._catalogue.n_graph)
        wanted = []
        for place, row in enumerate(rows):
            k = most if row.reranks else min(row.query.k, most)
            wanted.append((place, (row, row.bounds.allow), k))
            if len(row.probe) and len(probe := self._probe(row)):
                wanted.append((place + len(rows), (row, probe), most))
        for part in batches(wanted, most_events=self._most_events):
            k = max(k for _, _, k in part)
            output = self._graph(
                question.inputs([row for _, row, _ in part], n_profile=len(self._profile), k=k)
            )
            for (place, _, _), found in zip(part, question.split(output), strict=True):
                best[place] = found
        return [row for row in best[: len(rows)] if row is not None], best[len(rows) :]


Wanted = tuple[int, tuple[Question, Indices], int]
"""Where the answer belongs, the row with its allowed items, and the length of its list."""


def batches(rows: Sequence[Wanted], *, most_events: int) -> list[list[Wanted]]:
    """Group rows so that little is computed for padding and memory stays bounded.

    Args:
        rows: In any order.
        most_events: Bound of rows x longest history of a group; one row may be above it.
    """
    if len(rows) == 1:
        return [list(rows)]
    # Deep lists apart: the graph explains as many items for each row as the deepest row wants.
    ordered = sorted(rows, key=lambda row: (row[2], len(row[1][0].items)))
    parts: list[list[Wanted]] = []
    longest = widest = 0
    for row in ordered:
        question, only = row[1]
        size = len(parts[-1]) + 1 if parts else 1
        longest = max(longest, len(question.items), 1)
        widest = max(widest, len(only) + len(question.bounds.exclude))
        deeper = parts and row[2] > DEEPER * parts[-1][0][2]
        if not parts or deeper or size * longest > most_events or size * widest > MAX_CELLS:
            parts.append([])
            longest = max(len(question.items), 1)
            widest = len(only) + len(question.bounds.exclude)
        parts[-1].append(row)
    return parts


def read_contract(folder: Path) -> dict[str, Any]:
    """Return contract.json of a version.

    Raises:
        UnfitVersion: It is of another format.
    """
    contract: dict[str, Any] = json.loads((folder / artifacts.CONTRACT).read_text("utf-8"))
    if contract.get("format") != artifacts.CONTRACT_FORMAT:
        raise UnfitVersion(
            f"{folder / 'contract.json'} has format {contract.get('format')!r}, this server needs "
            f"{artifacts.CONTRACT_FORMAT}: export the model again with this version of the code."
        )
    return contract


def read_catalogue(folder: Path) -> Catalogue:
    """Return the items of a version.

    Raises:
        UnfitVersion: Its files do not belong together.
    """
    table = item_table.read(folder / "items.npz")
    vectors = np.load(folder / artifacts.ITEM_VECTORS, mmap_mode="r", allow_pickle=False)
    if len(vectors) != len(table):
        raise UnfitVersion(
            f"{folder} has {len(table)} items and {len(vectors)} vectors: its files are of "
            f"different versions. Publish the version again."
        )
    return Catalogue(table, vectors, placing=np.load(folder / artifacts.SIMILARITY_MAP))
