"""The re-ranker of a version: judges candidates for one history (numpy and onnxruntime only)."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from serving.engine.question import OTHER
from serving.rules._rule import Indices, Judge, Numbers

GRAPH = "reranker.onnx"
SERVED = ((GRAPH, f"onnx/{GRAPH}"),)
"""``optional_files`` of the models that re-rank."""


@dataclass(frozen=True)
class Reranker:
    """The graph and how its version uses it.

    Attributes:
        session: Runs the graph.
        weight: Chosen on validation; 0: only on demand.
        depth: Candidates that are judged.
        events: Newest events of the history that are read.
        ratings: Whether it predicts ratings.
    """

    session: Any
    weight: float
    depth: int
    events: int
    ratings: bool

    def of(self, items: Indices, liked: npt.NDArray[np.bool_]) -> Judge:
        """Return what judges candidates for a history.

        Args:
            items: (L,) one-based items of the graph, oldest first.
            liked: (L,).
        """
        return Judge(self.weight, self.depth, partial(self._ask, items, liked))

    def _ask(
        self, items: Indices, liked: npt.NDArray[np.bool_], candidates: Indices, scores: Numbers
    ) -> tuple[Numbers, Numbers]:
        history = np.zeros((1, max(1, min(len(items), self.events))), np.int64)
        kind = np.zeros_like(history)
        newest = items[-self.events :]
        history[0, : len(newest)] = newest
        kind[0, : len(newest)] = OTHER - liked[-self.events :].astype(np.int64)
        found = self.session.run(
            {
                "history": history,
                "history_kind": kind,
                "candidate": candidates[None].astype(np.int64),
                "score": scores[None].astype(np.float32),
            }
        )
        return found["logit"][0].astype(np.float64), found["rating"][0].astype(np.float64)


def find(folder: Path, contract: Mapping[str, Any], *, threads: int = 1) -> Reranker | None:
    """Return the re-ranker beside a model; none: the version has none."""
    path, described = folder / GRAPH, contract.get("reranker")
    if described is None or not path.is_file():
        return None
    # Only versions with a re-ranker load the runtime here.
    from serving.onnx_session import OnnxSession

    return Reranker(OnnxSession(path, threads=threads), **described)
