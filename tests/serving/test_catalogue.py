"""The front `catalogue`, and what `recommend` makes of live items, in this process."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoint.live_store import LiveStore
from serving.in_process import InProcess
from serving.models import recommend, recommender
from serving.spec import InvalidInput
from tests.serving import tiny
from tests.serving.conftest import in_process
from tests.serving.test_recommend import request

OUTPUTS = [tensor.name for tensor in recommend.SPEC.outputs]
HISTORY = ["a", "b", "ünï"]


@pytest.fixture
def models(folders: dict[str, Path], tmp_path: Path) -> InProcess:
    store = str(tmp_path / "state" / "items.sqlite")
    return in_process(folders, tmp_path / "models", {"version": "v1", "live_items": store})


def change(models: InProcess, action: str, *items: Any) -> list[dict[str, Any]]:
    rows = [json.dumps(item) if not isinstance(item, str) else item for item in items]
    inputs = {
        "action": np.array([[action.encode()]] * len(rows), dtype=object),
        "item": np.array([[row.encode()] for row in rows], dtype=object),
    }
    answer = models.call("catalogue", inputs, ["answer"])["answer"]
    return [json.loads(row[0]) for row in answer]


def ask(models: InProcess, **fields: Any) -> dict[str, list[Any]]:
    answer = models.call("recommend", request(**({"k": 20} | fields)), OUTPUTS)
    return {
        name: [v.decode() if isinstance(v, bytes) else v for v in value[0].ravel().tolist()]
        for name, value in answer.items()
    }


def shown(answer: Mapping[str, list[Any]]) -> dict[str, float]:
    pairs = zip(answer["item_id"], answer["score"], strict=True)
    return {item: score for item, score in pairs if item}


def test_an_added_item_is_in_the_next_answer(models) -> None:
    before = ask(models, history=HISTORY)
    (answer,) = change(
        models, "add", {"item_id": "neu", "title": "drama space", "attributes": ["genre=Drama"]}
    )
    assert answer["action"] == "added" and answer["item_id"] == "neu"
    assert answer["text_known"] and answer["attributes_known"] == ["genre=Drama"]
    assert answer["warnings"] == [] and answer["milliseconds"] > 0
    after = ask(models, history=HISTORY)
    assert shown(after).keys() - shown(before).keys() == {"neu"}
    assert {i: s for i, s in shown(after).items() if i != "neu"} == shown(before)
    place = after["item_id"].index("neu")
    assert after["title"][place] == "drama space"
    assert after["reason"][3 * place : 3 * place + 3] == ["", "", ""]
    assert after["score"] == sorted(after["score"], reverse=True)


def test_a_live_item_of_a_history_is_seen_and_not_unknown(models) -> None:
    change(models, "add", {"item_id": "neu", "title": "drama"})
    answer = ask(models, history=["a", "neu"])
    assert "neu" not in answer["item_id"]
    assert answer["unknown_item"] == []
    alone = ask(models, history=["a"])
    assert shown(alone).keys() - {"neu"} == shown(answer).keys()


def test_lists_of_the_request_reach_live_items(models) -> None:
    change(models, "add", {"item_id": "neu", "title": "drama"}, {"item_id": "nah"})
    assert set(shown(ask(models, allow=["neu", "a"]))) == {"neu", "a"}
    assert "neu" not in shown(ask(models, exclude=["neu"]))
    assert ask(models, exclude=["neu", "nobody"])["unknown_item"] == ["nobody"]


def test_an_item_of_which_nothing_is_known_comes_last(models) -> None:
    (answer,) = change(models, "add", {"item_id": "neu", "attributes": ["colour=red"]})
    assert answer["attributes_unknown"] == ["colour=red"] and answer["text_known"]
    (answer,) = change(models, "add", {"item_id": "nichts"})
    assert "ranks below every other" in answer["warnings"][0]
    assert ask(models, history=["a"])["item_id"][-1] == "nichts"


def test_removal_counts_at_once_and_can_be_undone(models) -> None:
    change(models, "add", {"item_id": "neu", "title": "drama"})
    assert {"neu", "e"} <= shown(ask(models)).keys()
    gone = change(models, "remove", {"item_id": "neu"}, {"item_id": "e"})
    assert [row["action"] for row in gone] == ["removed"] * 2 and gone[0]["removed_at"]
    assert not {"neu", "e"} & shown(ask(models)).keys()
    assert not {"neu", "e"} & shown(ask(models, user_id="anna")).keys()
    back = change(models, "add", {"item_id": "neu", "title": "drama"}, {"item_id": "e"})
    assert [row["action"] for row in back] == ["restored"] * 2
    answer = ask(models)
    assert {"neu", "e"} <= shown(answer).keys()
    assert answer["title"][answer["item_id"].index("e")] == "Title of e"


def test_similar_items_follow_additions_removals_and_changes(models) -> None:
    def similar() -> dict[str, str]:
        outputs = ["item_id", "title"]
        found = models.call("similar", request(item_id=["a"], k=20), outputs)
        pairs = zip(found["item_id"][0], found["title"][0], strict=True)
        return {item.decode(): title.decode() for item, title in pairs if item}

    before = similar()
    change(models, "remove", {"item_id": "e"})
    change(models, "replace", {"item_id": "f", "title": "Other"})
    change(models, "add", {"item_id": "neu", "title": "drama"})
    assert before["f"] == "Title of f"
    changed = {"f": "Other", "neu": "drama"}
    assert similar() == {i: t for i, t in before.items() if i != "e"} | changed
    change(models, "add", {"item_id": "e"})
    assert similar() == before | changed
    found = models.call("similar", request(item_id=["neu"], k=3), ["item_id"])["item_id"][0]
    assert all(found) and b"neu" not in found


def test_an_item_of_the_model_can_be_changed(models) -> None:
    before = shown(ask(models))
    with pytest.raises(InvalidInput, match=r"^item_id: 'e' is in the catalogue already"):
        change(models, "add", {"item_id": "e", "title": "Other"})
    (answer,) = change(models, "replace", {"item_id": "e", "title": "Other"})
    assert answer["action"] == "changed" and answer["in_graph"] and answer["warnings"]
    after = ask(models)
    assert after["title"][after["item_id"].index("e")] == "Other"
    assert shown(after) == before
    change(models, "replace", {"item_id": "e", "available_until": "2001-01-01"})
    assert "e" not in shown(ask(models))


def test_availability_holds_for_live_items(models) -> None:
    change(
        models,
        "add",
        {"item_id": "past", "title": "drama", "available_until": "2001-01-01"},
        {"item_id": "now", "title": "drama", "available_from": "2001-01-01"},
        {"item_id": "later", "title": "drama", "available_from": "2999-01-01"},
    )
    assert {"past", "now", "later"} & shown(ask(models)).keys() == {"now"}


def test_it_outlives_a_restart(models, folders, tmp_path: Path) -> None:
    change(models, "add", {"item_id": "neu", "title": "drama"})
    change(models, "remove", {"item_id": "e"})
    store = str(tmp_path / "state" / "items.sqlite")
    again = in_process(folders, tmp_path / "again", {"version": "v1", "live_items": store})
    assert shown(ask(again)) == shown(ask(models))
    assert "neu" in shown(ask(again)) and "e" not in shown(ask(again))


def test_a_store_that_another_process_writes_is_followed(models, tmp_path: Path) -> None:
    ask(models)
    store = LiveStore(tmp_path / "state" / "items.sqlite")
    store.remove(["e"])
    assert "e" not in shown(ask(models))


def test_rows_are_written_together_or_not_at_all(models) -> None:
    good = {"item_id": "neu", "title": "drama"}
    with pytest.raises(InvalidInput, match=r"^title: 5 is not a string\. \(row 2 of 2\)"):
        change(models, "add", good, {"item_id": "b2", "title": 5})
    with pytest.raises(InvalidInput, match=r"^item_id: 'neu' is given twice"):
        change(models, "add", good, good)
    assert change(models, "list", {})[0]["items"] == []


def test_items_are_listed_in_pages_and_found(models) -> None:
    change(models, "add", *({"item_id": f"n{n}"} for n in range(5)))
    change(models, "remove", {"item_id": "n4"}, {"item_id": "a"})
    (page,) = change(models, "list", {"limit": 3})
    assert [item["item_id"] for item in page["items"]] == ["n0", "n1", "n2"]
    (page,) = change(models, "list", {"after": "n2", "removed": True})
    assert [item["item_id"] for item in page["items"]] == ["n3", "n4"] and page["total"] == 6
    assert change(models, "get", {"item_id": "n0"})[0]["live"]
    (known,) = change(models, "get", {"item_id": "b"})
    assert (known["live"], known["in_graph"]) == (False, True)


@pytest.mark.parametrize(
    ("action", "item", "field"),
    [
        ("add", {}, "item_id"),
        ("add", {"item_id": 3}, "item_id"),
        ("add", {"item_id": "n", "price": 3}, "price"),
        ("add", {"item_id": "n", "attributes": ["Drama"]}, "attributes"),
        ("add", {"item_id": "n", "available_from": "soon"}, "available_from"),
        ("add", [], "item"),
        ("add", "{", "item"),
        ("add", "NaN", "item"),
        ("add", "[" * 5000, "item"),
        ("remove", {"item_id": "nobody"}, "item_id"),
        ("remove", {}, "item_id"),
        ("remove", [], "item"),
        ("get", {"item_id": "nobody"}, "item_id"),
        ("list", {"limit": 0}, "limit"),
        ("list", {"limit": True}, "limit"),
        ("list", {"after": 3}, "after"),
        ("list", {"before": "x"}, "item"),
        ("list", [], "item"),
        ("drop", {}, "action"),
        ("", {}, "action"),
    ],
)
def test_a_wrong_request_names_the_field(models, action: str, item: Any, field: str) -> None:
    with pytest.raises(InvalidInput, match=rf"^{field}: "):
        change(models, action, item)


def test_a_server_without_a_store_says_so(local) -> None:
    with pytest.raises(InvalidInput, match=r"deploy\.live_items"):
        change(local, "list", {})


def test_a_store_that_was_removed_is_made_anew(models, tmp_path: Path) -> None:
    change(models, "add", {"item_id": "old"})
    for path in (tmp_path / "state").iterdir():
        path.unlink()
    change(models, "add", {"item_id": "neu"})
    assert {"old", "neu"} & shown(ask(models)).keys() == {"neu"}


ITEM = st.sampled_from([*tiny.ITEMS, "n0", "n1", "n2", "n3", "n4"])


@settings(max_examples=60, deadline=None)
@given(
    history=st.lists(ITEM, max_size=8),
    exclude=st.lists(ITEM, max_size=4),
    allow=st.lists(ITEM, max_size=6),
    k=st.integers(1, tiny.MAX_K),
)
def test_the_merged_list_is_the_best_of_everything(merged, history, exclude, allow, k) -> None:
    """Against brute force: all scores of the graph and of the live items, sorted."""
    models, features = merged
    answer = ask(models, history=history, exclude=exclude, allow=allow, k=k)
    index = {item: place for place, item in enumerate(tiny.ITEMS, start=1)}
    past = [index[item] for item in history if item in index][-tiny.HISTORY_LENGTH :]
    count = len(past)
    width = max(count, 1)
    inputs = {
        "history": np.array([past or [0]], np.int64),
        "history_age": np.arange(width - 1, -1, -1, dtype=np.float32)[None],
        "history_kind": np.array([[1] * count or [0]], np.int64),
        "profile": np.zeros((1, len(tiny.PROFILE)), np.float32),
        "exclude": np.zeros((1, 1), np.int64),
        "allow": np.zeros((1, 1), np.int64),
        "k": np.array([[len(tiny.ITEMS)]], np.int64),
    }
    names = [tensor.name for tensor in recommender.SPEC.outputs]
    graph = models.call("recommender", inputs, names)
    pairs = zip(graph["item"][0], graph["score"][0], strict=True)
    scores = {tiny.ITEMS[item - 1]: float(score) for item, score in pairs if item}
    taste = graph["taste"][0]
    for item, phi in features.items():
        known = taste[:-2] @ phi + taste[-2] if phi.any() else taste[-1]
        scores[item] = float(known)
    barred = {*history, *exclude}
    wanted = [i for i in scores if i not in barred and (not allow or i in allow)]
    wanted.sort(key=lambda item: -scores[item])
    found = shown(answer)
    assert len(found) == min(k, len(wanted))
    for item, best in zip(found, wanted, strict=False):
        assert found[item] == pytest.approx(scores[item], abs=1e-4)
        assert scores[item] == pytest.approx(scores[best], abs=1e-4)


@pytest.fixture(scope="module")
def merged(folders, tmp_path_factory) -> tuple[InProcess, dict[str, np.ndarray]]:
    """Models with five live items, and the features of these."""
    root = tmp_path_factory.mktemp("merged")
    options = {"version": "v1", "live_items": str(root / "items.sqlite")}
    models = in_process(folders, root / "models", options)
    texts = ["drama", "space drama", "space", "", ""]
    tokens = [["genre=Drama"], [], ["genre=Drama"], ["genre=Drama"], []]
    change(models, "add", *(
        {"item_id": f"n{n}", "title": texts[n], "attributes": tokens[n]} for n in range(5)
    ))  # fmt: skip
    features = {}
    for number, (text, owned) in enumerate(zip(texts, tokens, strict=True)):
        phi = np.zeros(tiny.TEXT_WIDTH + len(tiny.VOCABULARY), np.float32)
        written = ". ".join(part for part in (text, "genre: Drama" if owned else "") if part)
        if written:
            row = {"text": np.array([[written.encode()]], dtype=object)}
            phi[: tiny.TEXT_WIDTH] = models.call("encode", row, ["vector"])["vector"][0]
        if owned:
            phi[tiny.TEXT_WIDTH + tiny.VOCABULARY.index("genre=Drama")] = 0.5**0.5
        features[f"n{number}"] = phi
    return models, features
