"""Tiny versions that answer differently, and one that no server can load."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from serving.registry import Registry
from tests.serving import tiny


def differing(folders: Mapping[str, Path], target: Path, seed: int) -> dict[str, Path]:
    """Copy a tiny version with another prior: other items come first."""
    copied = _copy(folders, target, f"seed {seed}")
    path = copied["onnx"] / "recommender.onnx"
    graph = onnx.load(path)
    (prior,) = (i for i in graph.graph.initializer if i.dims == [len(tiny.ITEMS) + 1])
    values = np.random.default_rng(seed).normal(size=len(tiny.ITEMS) + 1).astype(np.float32)
    prior.CopyFrom(numpy_helper.from_array(values, prior.name))
    onnx.save(graph, path)
    return copied


def broken(folders: Mapping[str, Path], target: Path) -> dict[str, Path]:
    """Copy a tiny version with a graph that onnxruntime cannot read."""
    copied = _copy(folders, target, "broken")
    (copied["onnx"] / "recommender.onnx").write_bytes(b"no graph")
    return copied


def publish(registry: Registry, folders: Mapping[str, Path]) -> str:
    return registry.publish(folders, details={}, why="test").version


def _copy(folders: Mapping[str, Path], target: Path, note: str) -> dict[str, Path]:
    for name, folder in folders.items():
        shutil.copytree(folder, target / name)
    (target / "model" / "note").write_text(note)
    return {name: target / name for name in folders}
