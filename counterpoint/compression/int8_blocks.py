"""Block-wise 8-bit quantisation: one scale for every 32 weights and activations of a product.

An outlier spoils its own block only, so the vectors stay much nearer to the original than with
``int8``. The products are onnxruntime's operator MatMulNBits, with 8 bits from onnxruntime 1.22 on.
"""

import logging
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.matmul_nbits_quantizer import (
    DefaultWeightOnlyQuantConfig,
    MatMulNBitsQuantizer,
)

from counterpoint.compression.quiet import quiet

BLOCK = 32
EIGHT_BIT_ACTIVATIONS = 4
"""Of MatMulNBits' ``accuracy_level``: activations are quantised as well, block by block."""


def convert(source: Path, target: Path) -> None:
    """Write a graph with block-wise 8-bit matrix products and 8-bit embeddings.

    Args:
        source: Graph in float32.
        target: Graph to write, with the same tensors.
    """
    how = DefaultWeightOnlyQuantConfig(
        block_size=BLOCK,
        is_symmetric=False,
        accuracy_level=EIGHT_BIT_ACTIVATIONS,
        op_types_to_quantize=("MatMul",),
        bits=8,
    )
    with quiet(logging.WARNING), TemporaryDirectory(dir=target.parent) as scratch:
        products = MatMulNBitsQuantizer(onnx.load(source), algo_config=how)
        products.process()
        between = Path(scratch) / "products.onnx"
        products.model.save_model_to_file(str(between))
        # The embeddings hold half of the weights of a small encoder.
        quantize_dynamic(
            between, target, weight_type=QuantType.QInt8, op_types_to_quantize=["Gather"]
        )
