"""Half precision: weights and arithmetic in float16, inputs and outputs as before.

Halves the file. Faster on GPUs; CPUs compute in float32 and convert.
"""

from pathlib import Path

import onnx


def convert(source: Path, target: Path) -> None:
    """Write a graph in float16.

    Args:
        source: Graph in float32.
        target: Graph to write, with the same tensors.
    """
    # Needs torch-free parts of onnxruntime's transformer tools only.
    from onnxruntime.transformers.float16 import convert_float_to_float16

    onnx.save(convert_float_to_float16(onnx.load(source), keep_io_types=True), target)
