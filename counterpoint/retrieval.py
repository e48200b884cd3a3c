"""Answers of a large catalogue: queries, index, candidates, scores. Has the graph's call.

Runs inside Triton: numpy, onnxruntime and faiss only. A version above ``export.max_exact_items``
has these files beside ``recommender.onnx``, in the folder ``retrieval``:

==============  ================================================================================
query.onnx      histories -> queries of the indexes (candidate_graph.QueryModule)
warm.faiss      index over the warm items outside the head; its row i is item ``warm.npy[i]``
cold.faiss      index over the features of the cold items, where there are too many to score all
head.npy        one-based items that are always scored
warm.npy        one-based items of ``warm.faiss``
cold.npy        one-based cold items, ascending
settings.json   how much the indexes are asked for, and what they are
==============  ================================================================================
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Arrays = Mapping[str, npt.NDArray[Any]]

FOLDER = "retrieval"
NOT_SCORED, COUNTED, OPEN, AGAIN = 0, 1, 2, 3
"""Standing of a column: padding or seen; counts in the normalisation; counts and may be
recommended; seen, so it does not count, and may be recommended again."""

REPEATABLE = 2
"""As in graph.py, which needs torch."""

EXACT_ALLOW = 20_000
"""Allowed items up to which each one is scored; of more, the index is asked for more."""

SPARE = 8
"""Open candidates for each place in the list; with fewer the index is asked for more."""


class Retrieval:
    """Answers as the graph of a small catalogue does.

    Args:
        graph: ``recommender.onnx`` over candidates.
        folder: The files above.
        threads: Of onnxruntime and of the index, for one call.
    """

    def __init__(self, graph: Path, folder: Path, *, threads: int = 1) -> None:
        import faiss
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1

        def session(path: Path) -> Any:
            return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

        faiss.omp_set_num_threads(threads)
        self._query, self._graph = session(folder / "query.onnx"), session(graph)
        self._query_inputs = [node.name for node in self._query.get_inputs()]
        self._graph_inputs = [node.name for node in self._graph.get_inputs()]
        self._outputs = [node.name for node in self._graph.get_outputs()]
        self._head: npt.NDArray[np.int64] = np.load(folder / "head.npy")
        self._warm: npt.NDArray[np.int64] = np.load(folder / "warm.npy")
        self._cold: npt.NDArray[np.int64] = np.load(folder / "cold.npy")
        indexes = (folder / name for name in ("warm.faiss", "cold.faiss"))
        self._warm_index, self._cold_index = (
            faiss.read_index(str(path)) if path.is_file() else None for path in indexes
        )
        settings = json.loads((folder / "settings.json").read_text("utf-8"))
        self._fetch = int(settings["candidates"])
        self._fetch_cold = int(settings["cold_candidates"])
        self._n_items = len(self._head) + len(self._warm) + len(self._cold)
        self._in_index = np.zeros(self._n_items + 1, dtype=bool)
        self._in_index[self._warm] = True

    def run(self, inputs: Arrays) -> dict[str, npt.NDArray[Any]]:
        """Answer a batch.

        Args:
            inputs: history, history_age, history_kind, profile, exclude, allow, k as of
                ``RecommenderModule.forward``; exclude and allow may be absent.

        Returns:
            item, score, reason, taste as of ``RecommenderModule.forward``.
        """
        query, theta = self._query.run(None, {n: inputs[n] for n in self._query_inputs})
        size = len(query)
        none = np.zeros((size, 0), np.int64)
        exclude, allow = inputs.get("exclude", none), inputs.get("allow", none)
        warm = _search(self._warm_index, query, self._fetch)
        cold = _search(self._cold_index, theta[:, None], self._fetch_cold)
        wanted = SPARE * int(inputs["k"].max())
        rows = []
        for row in range(size):
            history = inputs["history"][row]
            again = inputs["history_kind"][row] > REPEATABLE
            marks = self._marks(history, again, exclude[row], allow[row])
            sure = np.unique(allow[row][allow[row] > 0])
            listed = 0 < len(sure) <= EXACT_ALLOW
            few = 0 if listed else wanted
            found = self._found(query[row], theta[row], warm[row], cold[row], marks, few)
            sure = np.concatenate([history[again], sure if listed else sure[:0]])
            found = self._with(sure, *found, marks)
            rows.append((marks, *found))
        width, cold_width = (max(1, *(len(r[place]) for r in rows)) for place in (1, 2))
        if self._cold_index is None:
            cold_width = len(self._cold)
        candidates = np.zeros((size, width), np.int64)
        places = np.zeros((size, cold_width), np.int64)
        standing = np.zeros((size, len(self._head) + width + cold_width), np.int64)
        for row, (marks, items, where) in enumerate(rows):
            candidates[row, : len(items)] = items
            places[row, : len(where)] = where
            for start, shown in (
                (0, self._head),
                (len(self._head), items),
                (len(self._head) + width, self._cold[where]),
            ):
                standing[row, start : start + len(shown)] = marks[shown]
        feed = {**inputs, "candidates": candidates, "cold": places, "standing": standing}
        answer = self._graph.run(self._outputs, {n: feed[n] for n in self._graph_inputs})
        return dict(zip(self._outputs, answer, strict=True))

    def _marks(
        self,
        history: npt.NDArray[np.int64],
        again: npt.NDArray[np.bool_],
        exclude: npt.NDArray[np.int64],
        allow: npt.NDArray[np.int64],
    ) -> npt.NDArray[np.uint8]:
        """Return (1 + N,) the standing of each item for one user."""
        restricted = bool((allow > 0).any())
        marks = np.full(self._n_items + 1, COUNTED if restricted else OPEN, np.uint8)
        if restricted:
            marks[allow] = OPEN
        marks[exclude] = COUNTED
        repeated = history[again]
        marks[repeated] = np.where(marks[repeated] >= OPEN, AGAIN, NOT_SCORED)
        marks[history[~again]] = NOT_SCORED
        marks[0] = NOT_SCORED
        return marks

    def _found(
        self,
        query: npt.NDArray[np.float32],
        theta: npt.NDArray[np.float32],
        warm: npt.NDArray[np.int64],
        cold: npt.NDArray[np.int64],
        marks: npt.NDArray[np.uint8],
        wanted: int,
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return one user's candidates and cold places, asking for more where few are open.

        Args:
            query: (Q, D).
            theta: (F,).
            warm: Rows of the warm index that were found.
            cold: Rows of the cold index that were found.
            marks: Of ``_marks``.
            wanted: Items that should be open.
        """
        times = 1
        while True:
            items, places = np.unique(self._warm[warm[warm >= 0]]), cold[cold >= 0]
            # The head is there whatever the index returns.
            shown = marks[np.concatenate([items, self._cold[places]])]
            if int((shown >= OPEN).sum()) >= wanted or self._exhausted(times):
                return items, places
            times *= 4
            warm = _search(self._warm_index, query[None], self._fetch * times)[0]
            cold = _search(self._cold_index, theta[None, None], self._fetch_cold * times)[0]

    def _with(
        self,
        sure: npt.NDArray[np.int64],
        items: npt.NDArray[np.int64],
        places: npt.NDArray[np.int64],
        marks: npt.NDArray[np.uint8],
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return candidates and cold places with the items that must be scored, less the seen."""
        if len(sure):
            items = np.union1d(items, sure[self._in_index[sure]])
        items = items[marks[items] > NOT_SCORED]
        if self._cold_index is None:
            return items, np.arange(len(self._cold))
        if len(sure):
            at = np.minimum(np.searchsorted(self._cold, sure), len(self._cold) - 1)
            places = np.union1d(places, at[self._cold[at] == sure])
        return items, places

    def _exhausted(self, times: int) -> bool:
        """Whether the indexes return all they have when asked for so many times as much."""
        asked = ((self._warm_index, self._fetch), (self._cold_index, self._fetch_cold))
        return all(index is None or count * times >= index.ntotal for index, count in asked)


def _search(index: Any, queries: npt.NDArray[np.float32], count: int) -> npt.NDArray[np.int64]:
    """Return (B, Q * count) rows of the index for (B, Q, D) queries, -1 where there is none."""
    size, each, _ = queries.shape
    if index is None or not index.ntotal:
        return np.full((size, 0), -1, np.int64)
    flat = np.ascontiguousarray(queries.reshape(size * each, -1))
    _, found = index.search(flat, min(count, int(index.ntotal)))
    return np.asarray(found).reshape(size, -1)
