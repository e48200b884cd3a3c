"""Re-ranking in `recommend`, and the front `rerank`, beside torch."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from serving import repository
from serving.in_process import InProcess
from serving.models import rerank
from serving.spec import InvalidInput
from tests.serving import tiny
from tests.serving.conftest import in_process
from tests.serving.test_recommend import _strings, ask, request

OUTPUTS = [tensor.name for tensor in rerank.SPEC.outputs]
WEIGHT = 0.7
HISTORY = ["a", "ünï", "b", "日本", "e", "f"]
LIKED = [True, False, True, True, True, False]


@pytest.fixture(scope="module")
def reranked(tmp_path_factory: pytest.TempPathFactory) -> InProcess:
    """The tiny version with a weight above 0."""
    folder = tmp_path_factory.mktemp("reranked")
    folders = tiny.write_version(folder / "version")
    path = folders["onnx"] / "contract.json"
    contract = json.loads(path.read_text("utf-8"))
    contract["reranker"]["weight"] = WEIGHT
    path.write_text(json.dumps(contract), "utf-8")
    return in_process(folders, folder / "models", {"version": "v2"})


def judged(items: list[str], scores: list[float], history: list[str], liked: list[bool]) -> Any:
    """What torch says of candidates."""
    index = {item: place for place, item in enumerate(tiny.ITEMS, start=1)}
    events = tiny.RERANKER["events"]
    with torch.inference_mode():
        logit, rating = tiny.TinyReranker()(
            torch.tensor([[index[i] for i in history[-events:]] or [0]]),
            torch.tensor([[1 if yes else 2 for yes in liked[-events:]] or [0]]),
            torch.tensor([[index[i] for i in items]]),
            torch.tensor([scores]),
        )
    return logit[0].numpy(), rating[0].numpy()


@pytest.mark.parametrize(("history", "liked"), [(HISTORY, LIKED), (["a"], [True]), ([], [])])
def test_the_served_order_is_that_of_torch(
    local: InProcess, reranked: InProcess, history: list[str], liked: list[bool]
) -> None:
    fields: dict[str, Any] = {"k": tiny.MAX_K}
    if history:
        fields |= {"history": history, "history_positive": liked}
    plain = ask(local, **fields)
    answer = ask(reranked, **fields)
    depth = tiny.RERANKER["depth"]
    items, scores = plain["item_id"][:depth], np.array(plain["score"][:depth])
    logit, _ = judged(items, scores.tolist(), history, liked)
    utility = scores + WEIGHT * scores.std() * (logit - logit.mean()) / logit.std()
    expected = [items[place] for place in np.argsort(-utility, kind="stable")]
    assert expected != items
    assert answer["item_id"] == expected + plain["item_id"][depth:]
    # A shorter list is the head of the longer one: as many are judged for it.
    short = ask(reranked, **(fields | {"k": 3}))
    assert short["item_id"] == expected[:3]
    score = dict(zip(plain["item_id"], plain["score"], strict=True))
    np.testing.assert_allclose(short["score"], [score[i] for i in short["item_id"]], atol=1e-5)
    reason = dict(zip(plain["item_id"], plain["reason"], strict=True))
    assert short["reason"] == [reason[i] for i in short["item_id"]]
    (trace,) = [entry for entry in json.loads(answer["trace"][0]) if entry["rule"] == "rerank"]
    assert trace["weight"] == WEIGHT
    assert trace["judged"] == min(depth, len(items))


def test_a_request_can_do_without_it_or_ask_for_it(local: InProcess, reranked: InProcess) -> None:
    plain = ask(local, history=HISTORY, k=8)
    assert "rerank" not in plain["trace"][0]
    for rules in ({"rerank": None}, {"rerank": {"weight": 0}}):
        answer = ask(reranked, history=HISTORY, k=8, rules=json.dumps(rules))
        assert answer["item_id"] == plain["item_id"]
    asked = ask(local, history=HISTORY, k=8, rules=json.dumps({"rerank": {"weight": WEIGHT}}))
    assert asked["item_id"] == ask(reranked, history=HISTORY, k=8)["item_id"]
    both = json.dumps({"cap": {"attribute": "genre", "most": 1}})
    capped = json.loads(ask(reranked, history=HISTORY, k=8, rules=both)["trace"][0])
    assert [entry["rule"] for entry in capped] == ["availability", "rerank", "cap"]


def test_a_version_without_re_ranker_says_so(tmp_path: Path) -> None:
    folders = tiny.write_version(tmp_path / "version")
    (folders["onnx"] / "reranker.onnx").unlink()
    path = folders["onnx"] / "contract.json"
    contract = json.loads(path.read_text("utf-8"))
    del contract["reranker"]
    path.write_text(json.dumps(contract), "utf-8")
    assert not {"rerank", "reranker"} & set(repository.specs(tmp_path / "version"))
    models = in_process(folders, tmp_path / "models", {"version": "v3"})
    asked = ask(models, history=HISTORY, rules=json.dumps({"rerank": {}}))
    assert asked["item_id"] == ask(models, history=HISTORY)["item_id"]
    assert "has no re-ranker" in asked["trace"][0]


def judge(models: InProcess, **fields: Any) -> dict[str, Any]:
    answer = models.call("rerank", request(**fields), OUTPUTS)
    return {n: _strings(v[0]) if v.dtype == object else v[0].tolist() for n, v in answer.items()}


def test_rerank_judges_the_candidates_it_is_given(local: InProcess) -> None:
    given = ["🎬", "g", "a", "h", "nope", "g"]
    answer = judge(local, item_id=given, history=HISTORY, history_positive=LIKED)
    assert set(answer["item_id"]) == {"🎬", "g", "a", "h"}
    assert answer["unknown_item"] == ["nope"]
    assert answer["source"] == ["history"]
    assert answer["model_version"] == ["v1"]
    logit, rating = judged(answer["item_id"], answer["score"], HISTORY, LIKED)
    np.testing.assert_allclose(answer["liking"], 1 / (1 + np.exp(-logit)), atol=1e-5)
    np.testing.assert_allclose(answer["rating"], rating, atol=1e-5)
    assert answer["liking"] == sorted(answer["liking"], reverse=True)
    assert answer["title"][0].startswith(("Title of", "a"))


def test_rerank_knows_the_users_that_recommend_knows(local: InProcess) -> None:
    known = judge(local, item_id=["g", "h"], user_id="anna")
    same = judge(
        local,
        item_id=["g", "h"],
        history=["a", "b", "ünï"],
        history_positive=[True, True, False],
        attributes=["gender=F"],
    )
    assert known["source"] == ["known_user"]
    for name in ("item_id", "liking", "rating", "score"):
        assert known[name] == same[name]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"user_id": "anna"}, "^item_id: the tensor is missing"),
        ({"item_id": [""]}, "^item_id: 0 candidates"),
        ({"item_id": [f"x{n}" for n in range(tiny.MAX_K + 1)]}, "^item_id: 21 candidates"),
    ],
)
def test_wrong_candidates_are_refused_by_field(
    local: InProcess, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        judge(local, **fields)


def test_only_unknown_candidates_give_an_empty_answer(local: InProcess) -> None:
    answer = judge(local, item_id=["nope"], history=["a"])
    assert answer["item_id"] in ([], [""])
    assert answer["unknown_item"] == ["nope"]


GOOD: dict[str, Any] = {
    "history": np.array([[1, 2]]),
    "history_kind": np.array([[1, 2]]),
    "candidate": np.array([[3, 4, 0]]),
    "score": np.array([[1.0, 0.5, 0.0]], dtype=np.float32),
}


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("history", np.array([[1, 13]]), r"^history: 1 to 13 is out of range"),
        ("candidate", np.array([[-1, 2, 3]]), r"^candidate: -1 to 3 is out of range"),
        ("history_kind", np.array([[1]]), r"^history_kind: shape \[1, 1\] does not match"),
        ("score", np.array([[1, np.nan, 0]], dtype=np.float32), "^score: only finite"),
        ("score", np.zeros((1, 2), dtype=np.float32), "^score: shape"),
    ],
)
def test_the_graph_refuses_what_does_not_exist(
    local: InProcess, name: str, value: Any, message: str
) -> None:
    answer = local.call("reranker", GOOD, ["logit", "rating"])
    assert answer["logit"].shape == (1, 3)
    with pytest.raises(InvalidInput, match=message):
        local.call("reranker", GOOD | {name: value}, ["logit", "rating"])
