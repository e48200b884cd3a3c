"""Half precision: weights and arithmetic in float16, inputs and outputs as before.

Halves the file. Faster on GPUs; CPUs compute in float32 and convert.
"""

from pathlib import Path

import onnx

from counterpoint import onnx_files


def convert(source: Path, target: Path) -> None:
    """Write a graph in float16.

    Args:
        source: Graph in float32.
        target: Graph to write, with the same tensors.
    """
    # Needs torch-free parts of onnxruntime's transformer tools only.
    from onnxruntime.transformers.float16 import convert_float_to_float16

    half = convert_float_to_float16(
        onnx.load(source),
        keep_io_types=True,
        # It passes the graph through a protocol buffer, which cannot hold what needs two files.
        disable_shape_infer=onnx_files.is_split(source),
    )
    onnx_files.save(half, target)
