from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from counterpoint import onnx_files, onnx_graphs
from counterpoint.errors import DataError
from counterpoint.onnx_parity import session

GIGABYTES = 2.2


class Looked(nn.Module):
    """Looks numbers up in a table, beside another one that the graph does not need."""

    def __init__(self, rows: int, unused: int) -> None:
        super().__init__()
        self.table = nn.Embedding(rows, 4)
        self.unused = nn.Parameter(torch.empty(unused))

    def forward(self, places: Tensor) -> Tensor:
        return self.table(places)


def export(module: nn.Module, path: Path, *, splits: bool = False) -> None:
    places = {"places": torch.zeros(1, 2, dtype=torch.int64)}
    free = {"places": {0: "B"}, "found": {0: "B"}}
    onnx_graphs.export_module(module, places, ["found"], free, path, opset=17, splits=splits)


@pytest.mark.slow
def test_a_graph_that_no_file_can_hold_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    module = Looked(int(GIGABYTES * 1e9 / 16), 0)
    with pytest.raises(DataError, match=r"graph\.onnx take 2\.20 GB; an ONNX file holds at most 2"):
        export(module, tmp_path / "graph.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_graph_that_one_file_cannot_hold_gets_two(tmp_path: Path) -> None:
    module, path = Looked(int(GIGABYTES * 1e9 / 16), 0), tmp_path / "graph.onnx"
    export(module, path, splits=True)
    assert sorted(tmp_path.iterdir()) == [path, onnx_files.beside(path)]
    (found,) = session(path).run(None, {"places": np.array([[3, 99_999_999]])})
    assert np.array_equal(found, module.table.weight.detach().numpy()[[[3, 99_999_999]]])


def test_tensors_that_the_graph_does_not_need_do_not_count(tmp_path: Path) -> None:
    # Never written to, so it takes no memory.
    module, path = Looked(8, int(GIGABYTES * 1e9 / 4)), tmp_path / "graph.onnx"
    export(module, path)
    assert [*tmp_path.iterdir()] == [path] and path.stat().st_size < 10_000
    (found,) = session(path).run(None, {"places": np.array([[3, 5], [7, 0]])})
    assert np.array_equal(found, module.table.weight.detach().numpy()[[[3, 5], [7, 0]]])
