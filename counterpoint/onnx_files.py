"""ONNX graphs on disk: one file, and beyond what a protocol buffer holds a second for the tensors.

The second file is named like the first with ``.data`` behind it and must lie beside it; loading
the first reads both.
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

MOST_BYTES = 2**31 - 2**20
"""Protocol buffers end at 2 GiB; the nodes need a little too."""

DATA = ".data"
SMALLEST = 1024
"""Tensors below this many bytes stay in the first file."""


def beside(path: Path) -> Path:
    """Return where the tensors of a graph lie that its own file cannot hold."""
    return path.with_name(path.name + DATA)


def is_split(path: Path) -> bool:
    """Whether a graph has a second file."""
    return beside(path).is_file()


def save(model: "onnx.ModelProto", path: Path) -> None:
    """Write a graph, in two files if it needs them.

    Args:
        model: With its tensors in memory; they are taken out of it if there are two files.
        path: The first file.
    """
    # Not in the images that only hand graphs on.
    import onnx

    if sum(len(tensor.raw_data) for tensor in model.graph.initializer) < MOST_BYTES:
        onnx.save(model, path)
        return
    beside(path).unlink(missing_ok=True)  # The library appends to what is there.
    onnx.save_model(
        model,
        path,
        save_as_external_data=True,
        all_tensors_to_one_file=True,
        location=beside(path).name,
        size_threshold=SMALLEST,
    )
