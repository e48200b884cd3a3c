"""The front `similar`, in this process, beside brute force."""

import json
from typing import Any

import numpy as np
import pytest

from serving.in_process import InProcess
from serving.models import similar
from serving.spec import InvalidInput
from tests.serving import tiny
from tests.serving.test_recommend import _strings, request

OUTPUTS = [tensor.name for tensor in similar.SPEC.outputs]


def ask(models: InProcess, **fields: Any) -> dict[str, Any]:
    answer = models.call("similar", request(**({"trace_id": "test"} | fields)), OUTPUTS)
    return {n: _strings(v[0]) if v.dtype == object else v[0].tolist() for n, v in answer.items()}


@pytest.fixture(scope="module")
def vectors(folders: dict[str, Any]) -> Any:
    return np.load(folders["onnx"] / "vectors.npy")


@pytest.mark.parametrize("items", [["a"], ["日本", "🎬"], ["a", "a", "b"]])
def test_the_cosines_are_exact(local: InProcess, vectors: Any, items: list[str]) -> None:
    places = sorted({tiny.ITEMS.index(item) for item in items})
    centre = vectors[places].mean(0)
    cosine = vectors @ centre / np.linalg.norm(centre)
    expected = [int(i) for i in np.argsort(-cosine, kind="stable") if i not in places][:5]
    answer = ask(local, item_id=items, k=5)
    assert answer["item_id"] == [tiny.ITEMS[i] for i in expected]
    np.testing.assert_allclose(answer["score"], cosine[expected], atol=1e-6)
    assert answer["title"][0].startswith(("Title of", "a"))
    assert answer["model_version"] == ["v1"]
    assert answer["propensity"] == [-1] * 5


def test_lists_and_rules_hold_here_too(local: InProcess) -> None:
    drama = json.dumps({"category": {"any": ["genre=Drama"]}})
    dramas = {i for i, t in zip(tiny.ITEMS, tiny.ATTRIBUTES, strict=True) if "genre=Drama" in t}
    assert set(ask(local, item_id=["b"], k=20, rules=drama)["item_id"]) == dramas
    assert ask(local, item_id=["b"], allow=["a", "e", "b"], exclude=["e"])["item_id"] == ["a"]
    assert ask(local, item_id=["b"], allow=["nope"])["unknown_item"] == ["nope"]
    capped = ask(
        local,
        item_id=["b"],
        k=12,
        rules=json.dumps({"cap": {"attribute": "genre", "most": 1}, "explore": {}}),
    )
    assert len(capped["item_id"]) < 5
    assert all(0 < p <= 1 for p in capped["propensity"])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"item_id": ["a", "nope"]}, "item_id: 'nope' is not in the catalogue of version v1"),
        ({"item_id": ["", ""]}, "item_id: no item is named"),
        ({"k": 3}, "item_id: the tensor is missing"),
        ({"item_id": ["a"], "k": 0}, "k: 0 is out of range"),
        ({"item_id": ["a"], "k": 101}, "k: 101 is out of range"),
        ({"item_id": [b"\xff"]}, "item_id: .* is not UTF-8"),
        ({"item_id": ["a"], "rules": "{"}, "rules: "),
    ],
)
def test_bad_input_is_refused_by_field(
    local: InProcess, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidInput, match=f"^{message}"):
        ask(local, **fields)


def test_rows_are_independent(local: InProcess) -> None:
    both = {"item_id": np.array([[b"a", b""], [b"b", b"e"]], dtype=object)}
    answer = local.call("similar", both, ["item_id"])["item_id"]
    for row, items in zip(answer, (["a"], ["b", "e"]), strict=True):
        assert [i.decode() for i in row if i] == ask(local, item_id=items)["item_id"]
