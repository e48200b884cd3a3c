"""The ONNX graph `item_encoder`: tokens of an item's text in, its unit vector out."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from serving.spec import FLOAT32, INT64, Arrays, Call, ModelSpec, Tensor

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

    def execute(self, requests: Sequence[Arrays]) -> Sequence[Arrays]:
        """Encode the texts of each request."""
        return self._session.execute(requests)
