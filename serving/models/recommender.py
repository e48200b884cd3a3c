"""The ONNX graph `recommender`: encoded histories in, best items with reasons out."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from serving.spec import FLOAT32, INT64, Arrays, Call, ModelSpec, Tensor

SPEC = ModelSpec(
    name="recommender",
    doc="Scores the catalogue for encoded histories and returns the best items.",
    inputs=(
        Tensor("history", INT64, (-1,), "One-based item indices, oldest first, 0 = padding"),
        Tensor("history_age", FLOAT32, (-1,), "Number of the user's positives after each event"),
        Tensor(
            "history_kind",
            INT64,
            (-1,),
            "0 padding, 1 positive, 2 not; 3, 4: likewise, may be shown again",
        ),
        Tensor("profile", FLOAT32, ("profile",), "Multi-hot of contract.json's `profile`"),
        Tensor("exclude", INT64, (-1,), "One-based item indices to leave out, 0 = padding"),
        Tensor("allow", INT64, (-1,), "One-based item indices to choose from, only 0: from all"),
        Tensor("k", INT64, (1,), "Length of the list; the largest of the batch counts"),
    ),
    outputs=(
        Tensor("item", INT64, (-1,), "One-based item indices, best first, 0 = no item left"),
        Tensor("score", FLOAT32, (-1,), "Scores, descending"),
        Tensor("reason", INT64, (-1, 3), "One-based positions in `history`, 0 = none"),
        Tensor("taste", FLOAT32, ("taste",), "What items added later score, from their features"),
    ),
    onnx="onnx/recommender.onnx",
    folders=(("retrieval", "onnx/retrieval"),),
    warm_up=(("k", 10),),
)


class Runtime:
    """Runs the graph with onnxruntime, behind the index of a large catalogue.

    Without an index, a cluster runs the graph on Triton's own backend instead.
    """

    def __init__(self, folder: Path, options: Mapping[str, str], call: Call) -> None:
        from serving import onnx_session
        from serving.engine.retrieval import open_graph

        path = onnx_session.of_model(folder, SPEC)
        self._session = open_graph(path, threads=int(options.get("threads", "1")))

    def execute(self, requests: Sequence[Arrays]) -> Sequence[Arrays]:
        """Answer each request, cut to its own largest ``k``."""
        from serving.onnx_session import together

        answers = together(self._session.run, self._session.inputs, requests)
        return [
            {
                name: value if name == "taste" else value[:, : int(request["k"].max())]
                for name, value in answer.items()
            }
            for request, answer in zip(requests, answers, strict=True)
        ]
