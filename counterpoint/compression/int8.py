"""Dynamic 8-bit quantisation: weights per channel, activations per tensor while the graph runs.

The smallest and fastest form on CPUs, and the least exact: one outlier among the activations
coarsens all of them.
"""

import logging
from pathlib import Path

from onnxruntime.quantization import QuantType, quantize_dynamic

from counterpoint.compression.quiet import quiet


def convert(source: Path, target: Path) -> None:
    """Write a graph with 8-bit matrix products and embeddings.

    Args:
        source: Graph in float32.
        target: Graph to write, with the same tensors.
    """
    # Seven bits per weight: sums of 8-bit products saturate on CPUs without VNNI.
    with quiet(logging.WARNING):
        quantize_dynamic(
            source, target, weight_type=QuantType.QInt8, per_channel=True, reduce_range=True
        )
