from pathlib import Path

import pytest
import torch
from torch import nn

from counterpoint import onnx_graphs
from counterpoint.errors import DataError


def test_a_graph_that_no_file_can_hold_is_refused_before_it_is_made(tmp_path: Path) -> None:
    with torch.device("meta"):
        module = nn.Linear(2**15, 2**15)
    assert onnx_graphs.tensor_bytes(module) == 4 * (2**30 + 2**15)
    with pytest.raises(DataError, match=r"4\.30 GB; an ONNX file holds at most 2\.15"):
        onnx_graphs.export_module(module, {}, [], {}, tmp_path / "graph.onnx", opset=17)
    assert not list(tmp_path.iterdir())


def test_a_shared_tensor_counts_once() -> None:
    one = nn.Linear(3, 3, bias=False)
    other = nn.Linear(3, 3, bias=False)
    other.weight = one.weight
    assert onnx_graphs.tensor_bytes(nn.Sequential(one, other)) == 36
