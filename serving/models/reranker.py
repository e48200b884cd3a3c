"""The ONNX graph `reranker`: a history and candidates in, how much they will be liked out."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from serving.spec import FLOAT32, INT64, Arrays, Call, InvalidInput, ModelSpec, Tensor

SPEC = ModelSpec(
    name="reranker",
    doc="Judges candidates for encoded histories.",
    inputs=(
        Tensor("history", INT64, (-1,), "As of `recommender`; the newest events suffice"),
        Tensor("history_kind", INT64, (-1,), "As of `recommender`"),
        Tensor("candidate", INT64, (-1,), "One-based item indices, 0 = padding"),
        Tensor("score", FLOAT32, (-1,), "Scores that `recommender` gives the candidates"),
    ),
    outputs=(
        Tensor("logit", FLOAT32, (-1,), "Of liking"),
        Tensor("rating", FLOAT32, (-1,), "Expected rating; NaN: the data have none"),
    ),
    requires="onnx/reranker.onnx",
    onnx="onnx/reranker.onnx",
    files=(("contract.json", "onnx/contract.json"),),
    warm_up=(),
)

PAIRS = (("history_kind", "history"), ("score", "candidate"))
KINDS = 4


class Runtime:
    """Runs the graph with onnxruntime (the local form; a cluster uses Triton's own backend)."""

    def __init__(self, folder: Path, options: Mapping[str, str], call: Call) -> None:
        from serving.onnx_session import OnnxSession, of_model

        self._session = OnnxSession(
            of_model(folder, SPEC), threads=int(options.get("threads", "1"))
        )
        contract = json.loads((folder / "contract.json").read_text("utf-8"))
        most = int(contract["n_items"])
        self._ranges = {"history": most, "candidate": most, "history_kind": KINDS}

    def execute(self, requests: Sequence[Arrays]) -> Sequence[Arrays | InvalidInput]:
        """Judge the candidates of each request; a wrong one fails alone."""
        faults = [self._fault(request) for request in requests]
        good = [r for r, fault in zip(requests, faults, strict=True) if fault is None]
        answers = iter(self._session.execute(good))
        return [next(answers) if fault is None else fault for fault in faults]

    def _fault(self, request: Arrays) -> InvalidInput | None:
        for name, other in PAIRS:
            if request[name].shape != request[other].shape:
                return InvalidInput(
                    f"{name}: shape {list(request[name].shape)} does not match {other} "
                    f"{list(request[other].shape)}; send one value per entry of {other}."
                )
        for name, most in self._ranges.items():
            values = request[name]
            if not values.size:
                return InvalidInput(f"{name}: send at least one entry for each row; 0 is padding.")
            if not 0 <= values.min() <= values.max() <= most:
                return InvalidInput(
                    f"{name}: {values.min()} to {values.max()} is out of range; allowed are 0 to "
                    f"{most}."
                )
        if not np.isfinite(request["score"]).all():
            return InvalidInput("score: only finite numbers are allowed.")
        return None
