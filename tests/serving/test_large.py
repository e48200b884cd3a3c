"""A version with an index answers `recommend` as the same model without one."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from counterpoint.config import ExportConfig, TrainConfig
from counterpoint.stages import export, train
from counterpoint.tables import read_json
from serving import repository
from serving.in_process import InProcess
from serving.server import TritonServer
from tests.counterpoint.stages.test_export import trained
from tests.serving.test_server import infer

__all__ = ["trained"]

COMPARED = ("item_id", "score", "reason")
DTYPES = dict.fromkeys(("user_id", "history", "exclude", "allow", "attributes"), "BYTES") | {
    "k": "INT32"
}
OPTIONS = {"version": "v1"}
SIZES = {"max_k": 12, "parity_users": 10}
QUESTIONS: tuple[dict[str, Any], ...] = (
    {"user_id": "usér 3", "k": 10},
    {"history": ["品 2", "品 4"], "k": 12},
    {"history": ["品 2", "品 4"], "exclude": ["品 6", "品 8"], "k": 5},
    {"history": ["品 1"], "allow": ["品 6", "品 8", "品 1", "品 29"], "k": 10},
    {"attributes": ["group=1"], "k": 10},
    {"k": 7},
)


@pytest.fixture(scope="module")
def versions(trained: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same model exported without and with an index; linear parts of a few items only."""
    root = tmp_path_factory.mktemp("large")
    config = TrainConfig.model_validate(
        {
            "encoder": {"model": None},
            "tower": {"dim": 8},
            "linear": {"max_items": 6},
            "fit": {"epochs": 1, "min_steps": 2, "checkpoints": str(root / "checkpoints")},
        }
    )
    folders = {"features": trained["features"], "model": root / "model"}
    train.run(config, **folders)
    indexed = ExportConfig(**SIZES, max_exact_items=10, popular_items=5, max_exact_cold_items=1)
    for name, how in (("dense", ExportConfig(**SIZES)), ("indexed", indexed)):
        export.run(how, onnx=root / name / "onnx", **folders)
        repository.write(
            root / name, root / name / "models", form="local", number=1, options=OPTIONS
        )
    return {name: root / name for name in ("dense", "indexed")}


@pytest.fixture(scope="module")
def server(versions: dict[str, Path], triton_env: Path) -> Iterator[TritonServer]:
    """The version with an index, in tritonserver."""
    root = versions["indexed"]
    models = root / "served"
    repository.write(root, models, form="local", number=1, options=OPTIONS, environment=triton_env)
    with TritonServer(models, environment=triton_env, log=root / "log") as running:
        yield running


def test_the_contract_says_what_the_index_is(versions: dict[str, Path]) -> None:
    told = read_json(versions["indexed"] / "onnx" / "contract.json")["retrieval"]
    assert told["recall"] >= 0.98
    assert told["indexes"]["warm"]["index"] == "Flat"
    assert "retrieval" not in read_json(versions["dense"] / "onnx" / "contract.json")
    assert not (versions["dense"] / "models" / "recommend" / "1" / "retrieval").exists()


def test_a_cluster_runs_the_index_in_python(versions: dict[str, Path], tmp_path: Path) -> None:
    repository.write(
        versions["indexed"], tmp_path / "models", form="cluster", number=1, options=OPTIONS
    )
    folder = tmp_path / "models" / "recommender"
    assert 'backend: "python"' in (folder / "config.pbtxt").read_text("utf-8")
    assert (folder / "1" / "retrieval" / "warm.faiss").is_file()
    assert not (tmp_path / "models" / "recommend" / "1" / "retrieval").exists()


def test_recommend_answers_alike(versions: dict[str, Path], server: TritonServer) -> None:
    dense = InProcess(versions["dense"] / "models", number=1, options=OPTIONS)
    for question in QUESTIONS:
        theirs = dense.call("recommend", tensors(question), list(COMPARED))
        ours = infer(server, **{n: (v, DTYPES[n]) for n, v in tensors(question).items()})
        assert theirs["item_id"].shape[1]
        for name in ("item_id", "reason"):
            assert ours.as_numpy(name).tolist() == theirs[name].tolist(), question
        np.testing.assert_allclose(ours.as_numpy("score"), theirs["score"], atol=1e-3)


def tensors(question: dict[str, Any]) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {"k": np.array([[question["k"]]], np.int32)}
    for name, values in question.items():
        if name != "k":
            listed = [values] if isinstance(values, str) else values
            found[name] = np.array([[value.encode() for value in listed]], dtype=object)
    return found
