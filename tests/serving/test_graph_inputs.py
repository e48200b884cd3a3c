"""Wrong tensors of the graphs are refused by name, and only the request that holds them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serving import repository
from serving.models import item_encoder, recommender
from serving.spec import InvalidInput
from tests.serving import tiny

OPTIONS = {"version": "v1", "number": "1"}


@pytest.fixture(scope="module")
def models(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("graphs") / "models"
    repository.write(folders["onnx"].parent, target, form="local", number=1, options=OPTIONS)
    return target


def refuse(model: str, inputs: Any, outputs: Any, *, number: int | None = None) -> Any:
    raise AssertionError(model)


def question(**changed: np.ndarray) -> dict[str, np.ndarray]:
    return {
        "history": np.array([[1, 2, 0]]),
        "history_age": np.array([[1, 0, 0]], np.float32),
        "history_kind": np.array([[1, 1, 0]]),
        "profile": np.zeros((1, len(tiny.PROFILE)), np.float32),
        "exclude": np.zeros((1, 1), np.int64),
        "allow": np.zeros((1, 1), np.int64),
        "k": np.array([[5]]),
        **changed,
    }


WRONG = {
    "history": [np.array([[1, 13, 0]]), np.array([[-1, 2, 0]]), np.array([[2**62, 2, 0]])],
    "history_kind": [np.array([[5, 1, 0]]), np.array([[1, 1]]), np.zeros((1, 0), np.int64)],
    "history_age": [np.full((1, 3), np.nan, np.float32), np.zeros((1, 4), np.float32)],
    "profile": [np.zeros((1, 9), np.float32), np.full((1, 4), np.inf, np.float32)],
    "exclude": [np.array([[13]]), np.array([[-(2**63)]])],
    "allow": [np.array([[1, 13]])],
    "k": [np.array([[0]]), np.array([[tiny.MAX_K + 1]])],
}


@pytest.mark.parametrize(
    ("field", "value"), [(name, value) for name, values in WRONG.items() for value in values]
)
def test_the_graph_of_recommendations(models: Path, field: str, value: np.ndarray) -> None:
    runtime = recommender.Runtime(models / "recommender" / "1", OPTIONS, refuse)
    (alone,) = runtime.execute([question()])
    first, wrong, last = runtime.execute([question(), question(**{field: value}), question()])
    assert isinstance(wrong, InvalidInput) and str(wrong).startswith(f"{field}: ")
    for answer in (first, last):
        assert not isinstance(answer, InvalidInput)
        np.testing.assert_array_equal(answer["item"], alone["item"])


@pytest.mark.parametrize(
    ("field", "ids", "mask"),
    [
        ("input_ids", [[1, 99]], [[1, 1]]),
        ("input_ids", [[1, -1]], [[1, 1]]),
        ("input_ids", [[]], [[]]),
        ("attention_mask", [[1, 2, 3]], [[1, 1]]),
    ],
)
def test_the_graph_of_texts(models: Path, field: str, ids: Any, mask: Any) -> None:
    runtime = item_encoder.Runtime(models / "item_encoder" / "1", OPTIONS, refuse)
    right = {"input_ids": np.array([[1, 2]]), "attention_mask": np.array([[1, 1]])}
    wrong = {"input_ids": np.array(ids, np.int64), "attention_mask": np.array(mask, np.int64)}
    first, refused, last = runtime.execute([right, wrong, right])
    assert isinstance(refused, InvalidInput) and str(refused).startswith(f"{field}: ")
    np.testing.assert_allclose(first["vector"], last["vector"])
