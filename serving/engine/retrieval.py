"""Opens the graph `recommender` of a version, whatever the size of its catalogue.

Runs inside Triton: numpy, onnxruntime and faiss only.
"""

from pathlib import Path
from typing import Protocol

from counterpoint.retrieval import FOLDER, Retrieval
from serving.onnx_session import OnnxSession
from serving.spec import Arrays

INPUTS = ("history", "history_age", "history_kind", "profile", "exclude", "allow", "k")


class GraphSession(Protocol):
    """What answers encoded questions."""

    inputs: list[str]

    def run(self, inputs: Arrays) -> Arrays:
        """Run one batch."""
        ...


class RetrievalSession:
    """The graph of a large catalogue behind its index: the call of ``OnnxSession``.

    Args:
        graph: ``recommender.onnx``; the folder of the index lies beside it.
        threads: Of one run.
    """

    def __init__(self, graph: Path, *, threads: int = 1) -> None:
        self._retrieval = Retrieval(graph, graph.parent / FOLDER, threads=threads)
        self.inputs = list(INPUTS)

    def run(self, inputs: Arrays) -> Arrays:
        """Run one batch."""
        return self._retrieval.run(inputs)


def open_graph(graph: Path, *, threads: int = 1) -> GraphSession:
    """Open a graph: with the index beside it if there is one, else over all items."""
    if (graph.parent / FOLDER).is_dir():
        return RetrievalSession(graph, threads=threads)
    return OnnxSession(graph, threads=threads)
