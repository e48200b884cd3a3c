"""Versions that answer differently from the measured one, and one that no server can load."""

import shutil
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

PRIOR = "prior.base"
"""Initializer of the graph: what it says of each item before it knows the user."""


def differing(onnx_folder: Path, target: Path, seed: int) -> Path:
    """Copy a version with a disturbed prior: its lists and scores are others."""
    shutil.copytree(onnx_folder, target)
    path = target / "recommender.onnx"
    graph = onnx.load(path)
    (prior,) = (i for i in graph.graph.initializer if i.name == PRIOR)
    values = numpy_helper.to_array(prior)
    noise = np.random.default_rng(seed).normal(size=values.shape) * max(values.std(), 1.0)
    prior.CopyFrom(numpy_helper.from_array((values + noise).astype(values.dtype), prior.name))
    onnx.save(graph, path)
    return target


def broken(onnx_folder: Path, target: Path) -> Path:
    """Copy a version with a graph that onnxruntime cannot read."""
    shutil.copytree(onnx_folder, target)
    (target / "recommender.onnx").write_bytes(b"no graph")
    return target
