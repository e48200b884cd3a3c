"""Torch modules as ONNX graphs with free batch and sequence sizes."""

import tempfile
import warnings
from pathlib import Path

import onnx
import torch
from torch import nn

from counterpoint import onnx_files
from counterpoint.errors import DataError
from counterpoint.recommender import Recommender

TENSORS = {
    "inputs": {
        "history": "int64 [B, L]",
        "history_age": "float32 [B, L]",
        "history_kind": "int64 [B, L]",
        "profile": "float32 [B, P]",
        "exclude": "int64 [B, X]",
        "allow": "int64 [B, A]",
        "k": "int64 [B, 1]",
    },
    "outputs": {
        "item": "int64 [B, K]",
        "score": "float32 [B, K]",
        "reason": "int64 [B, K, 3]",
        "taste": "float32 [B, F + 2]",
    },
}
"""The graph `recommender`: meanings in counterpoint/graph.py."""


def export_recommender(recommender: Recommender, path: Path, *, opset: int) -> None:
    """Write the graph `recommender` with free batch, history, rule and list lengths."""
    n_profile = len(recommender.settings.profile)
    long = torch.int64
    example = {
        "history": torch.tensor([[1, 1, 0], [1, 0, 0]], dtype=long),
        "history_age": torch.zeros(2, 3),
        "history_kind": torch.tensor([[2, 1, 0], [1, 0, 0]], dtype=long),
        "profile": torch.zeros(2, max(1, n_profile)),
        "exclude": torch.zeros(2, 2, dtype=long),
        "allow": torch.zeros(2, 2, dtype=long),
        "k": torch.ones(2, 1, dtype=long),
    }
    free = {
        "history": {0: "B", 1: "L"},
        "history_age": {0: "B", 1: "L"},
        "history_kind": {0: "B", 1: "L"},
        # Free although fixed by the weights: Triton describes all versions of a model once.
        "profile": {0: "B", 1: "P"},
        "exclude": {0: "B", 1: "X"},
        "allow": {0: "B", 1: "A"},
        "k": {0: "B"},
        "item": {0: "B", 1: "K"},
        "score": {0: "B", 1: "K"},
        "reason": {0: "B", 1: "K"},
        "taste": {0: "B", 1: "T"},
    }
    outputs = list(TENSORS["outputs"])
    export_module(recommender.module, example, outputs, free, path, opset=opset)


def export_module(
    module: nn.Module,
    example: dict[str, torch.Tensor],
    outputs: list[str],
    free: dict[str, dict[int, str]],
    path: Path,
    *,
    opset: int,
    splits: bool = False,
) -> None:
    """Write a module as an ONNX graph.

    Args:
        module: The module; put into evaluation mode.
        example: Input name -> example tensor, in the order of the forward.
        outputs: Output names.
        free: Tensor name -> free axes and their names.
        path: File to write.
        opset: ONNX operator set.
        splits: A graph larger than a file can be gets a second one (onnx_files.py).

    Raises:
        DataError: The graph is larger than an ONNX file can be.
    """
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".exporting-") as folder:
        made = Path(folder) / path.name
        with warnings.catch_warnings():
            # The tracer warns of every Python number it fixes; the parity check judges the result.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                module.eval(),
                tuple(example.values()),
                str(made),
                input_names=list(example),
                output_names=outputs,
                dynamic_axes=free,
                opset_version=opset,
                dynamo=False,
            )
        # What a file cannot hold, torch puts into one file for each tensor.
        written = [each.stat().st_size for each in Path(folder).iterdir()]
        size = sum(written)
        if size < onnx_files.MOST_BYTES and len(written) == 1:
            made.replace(path)
        elif size < onnx_files.MOST_BYTES or splits:
            onnx_files.save(onnx.load(made), path)
        else:
            raise DataError(
                f"The tensors of {path.name} take {size / 1e9:.2f} GB; an ONNX file holds at most "
                f"{onnx_files.MOST_BYTES / 1e9:.2f}. Leave out items that are no longer offered, "
                "or lower train.tower.dim and train.cold.max_attributes."
            )
