"""The ONNX graph `recommender`: encoded histories in, best items with reasons out."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from serving.spec import FLOAT32, INT64, Arrays, Call, InvalidInput, ModelSpec, Tensor

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
    files=(("contract.json", "onnx/contract.json"),),
    folders=(("retrieval", "onnx/retrieval"),),
    warm_up=(("k", 10),),
)


KINDS = 4
"""Greatest ``history_kind``."""


class Runtime:
    """Runs the graph with onnxruntime, behind the index of a large catalogue.

    Without an index, a cluster runs the graph on Triton's own backend instead, which checks less:
    there a wrong index is onnxruntime's error.
    """

    def __init__(self, folder: Path, options: Mapping[str, str], call: Call) -> None:
        from serving import onnx_session
        from serving.engine.retrieval import open_graph

        contract = json.loads((folder / "contract.json").read_text("utf-8"))
        items = int(contract["n_items"])
        self._ranges = {
            "history": (0, items),
            "history_kind": (0, KINDS),
            "exclude": (0, items),
            "allow": (0, items),
            "k": (1, int(contract["max_k"])),
        }
        self._profile = max(1, len(contract["profile"]))
        path = onnx_session.of_model(folder, SPEC)
        self._session = open_graph(path, threads=int(options.get("threads", "1")))

    def execute(self, requests: Sequence[Arrays]) -> Sequence[Arrays | InvalidInput]:
        """Answer each request, cut to its own largest ``k``; a wrong one fails alone."""
        from serving.onnx_session import together

        faults = [self._fault(request) for request in requests]
        good = [r for r, fault in zip(requests, faults, strict=True) if fault is None]
        answers = iter(together(self._session.run, self._session.inputs, good))
        return [
            fault or self._cut(next(answers), int(request["k"].max()))
            for request, fault in zip(requests, faults, strict=True)
        ]

    def _cut(self, answer: Arrays, k: int) -> Arrays:
        return {name: value if name == "taste" else value[:, :k] for name, value in answer.items()}

    def _fault(self, request: Arrays) -> InvalidInput | None:
        """Return what is wrong with a request: onnxruntime would fail all that run with it."""
        try:
            for name in ("history_age", "history_kind"):
                if request[name].shape != request["history"].shape:
                    raise InvalidInput(
                        f"{name}: shape {list(request[name].shape)} does not match history "
                        f"{list(request['history'].shape)}; send one value per entry of history."
                    )
            if request["profile"].shape[1:] != (self._profile,):
                raise InvalidInput(
                    f"profile: shape {list(request['profile'].shape)} is not allowed; send [rows, "
                    f"{self._profile}]."
                )
            for name, (low, high) in self._ranges.items():
                values = request[name]
                if values.size and not low <= values.min() <= values.max() <= high:
                    raise InvalidInput(
                        f"{name}: {values.min()} to {values.max()} is out of range; allowed are "
                        f"{low} to {high}."
                    )
            for name in ("history_age", "profile"):
                if not np.isfinite(request[name]).all():
                    raise InvalidInput(f"{name}: only finite numbers are allowed.")
        except InvalidInput as fault:
            return fault
        return None
