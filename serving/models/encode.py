"""The front `encode`: item texts in, their vectors out (tokenises and encodes)."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from serving.fields import MAX_REQUEST_BYTES, check_size, text_rows
from serving.spec import BYTES, FLOAT32, Arrays, Call, InvalidInput, ModelSpec, Tensor

GRAPH = "item_encoder/model.onnx"

SPEC = ModelSpec(
    name="encode",
    doc="Encodes item texts into unit vectors.",
    inputs=(Tensor("text", BYTES, (1,), "Text of an item (template: counterpoint/text.py)"),),
    outputs=(Tensor("vector", FLOAT32, (-1,), "Mean-pooled, L2-normalised text vector"),),
    max_batch_size=32,
    requires="onnx/item_encoder",
    pure=True,
    files=(("tokenizer.json", "onnx/item_encoder/tokenizer.json"),),
    graphs=((GRAPH, f"onnx/{GRAPH}"),),
)


class Runtime:
    """Tokenises with the tokenizer that the version was exported with, and encodes.

    The graph runs here where it lies beside the tokenizer, so that a swap never mixes the two of
    different versions; else (in a cluster) the model `item_encoder` of the same number is asked.
    """

    def __init__(self, folder: Path, options: Mapping[str, str], call: Call) -> None:
        from tokenizers import Tokenizer

        self._encode = lambda inputs: call("item_encoder", inputs, ["vector"])
        if (folder / GRAPH).is_file():
            from serving.onnx_session import OnnxSession

            threads = int(options.get("threads", "1"))
            self._encode = OnnxSession(folder / GRAPH, threads=threads).run
        self._max_bytes = int(options.get("max_request_bytes", MAX_REQUEST_BYTES))
        # Truncation and padding are part of the file (counterpoint/stages/export.py).
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        if (folder / GRAPH).is_file():
            # Before anybody waits for it: the first run of a graph is slow.
            self.execute([{"text": np.array([[b"text"]], dtype=object)}])

    def execute(self, requests: Sequence[Arrays]) -> Sequence[Arrays | InvalidInput]:
        """Encode the texts of each request."""
        answers: list[Arrays | InvalidInput] = []
        for request in requests:
            try:
                check_size(request, self._max_bytes)
                texts = [row[0] for row in text_rows(request, "text", drop_empty=False)]
            except InvalidInput as error:
                answers.append(error)
                continue
            tokens = self._tokenizer.encode_batch(texts)
            inputs = {
                "input_ids": np.array([t.ids for t in tokens], dtype=np.int64),
                "attention_mask": np.array([t.attention_mask for t in tokens], dtype=np.int64),
            }
            answers.append(self._encode(inputs))
        return answers
