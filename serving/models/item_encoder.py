"""The ONNX graph `item_encoder`: tokens of an item's text in, its unit vector out."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from serving.spec import FLOAT32, INT64, Arrays, Call, InvalidInput, ModelSpec, Tensor

SPEC = ModelSpec(
    name="item_encoder",
    doc="Encodes tokenised item texts into unit vectors.",
    inputs=(
        Tensor("input_ids", INT64, (-1,), "Token ids of onnx/item_encoder/tokenizer.json"),
        Tensor("attention_mask", INT64, (-1,), "1 = token, 0 = padding"),
    ),
    outputs=(Tensor("vector", FLOAT32, (-1,), "Mean-pooled, L2-normalised text vector"),),
    max_batch_size=32,
    requires="onnx/item_encoder",
    pure=True,
    onnx="onnx/item_encoder/model.onnx",
    warm_up=(("attention_mask", 1),),
)


class Runtime:
    """Runs the graph with onnxruntime (the local form; a cluster uses Triton's own backend)."""

    def __init__(self, folder: Path, options: Mapping[str, str], call: Call) -> None:
        from serving.onnx_session import OnnxSession, of_model

        path = of_model(folder, SPEC)
        self._session = OnnxSession(path, threads=int(options.get("threads", "1")))

    def execute(self, requests: Sequence[Arrays]) -> Sequence[Arrays | InvalidInput]:
        """Encode the texts of each request; a wrong one fails alone."""
        faults = [_fault(request) for request in requests]
        good = [r for r, fault in zip(requests, faults, strict=True) if fault is None]
        answers = iter(self._encode(good))
        return [next(answers) if fault is None else fault for fault in faults]

    def _encode(self, requests: Sequence[Arrays]) -> Sequence[Arrays | InvalidInput]:
        from serving.onnx_session import REFUSED

        try:
            return self._session.execute(requests)
        except REFUSED as error:
            # How many tokens there are, and how many at once, only the graph knows.
            if len(requests) > 1:
                return [answer for one in requests for answer in self._encode([one])]
            return [InvalidInput(f"input_ids: the graph takes no such tokens ({error}).")]


def _fault(request: Arrays) -> InvalidInput | None:
    ids, mask = request["input_ids"], request["attention_mask"]
    if mask.shape != ids.shape:
        return InvalidInput(
            f"attention_mask: shape {list(mask.shape)} does not match input_ids {list(ids.shape)}."
        )
    if not ids.size or ids.min() < 0:
        return InvalidInput("input_ids: send token ids from 0, at least one for each row.")
    return None
