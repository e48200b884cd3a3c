import hashlib
import json
import threading
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from torch import nn

from counterpoint import columns
from counterpoint.live_items import LiveItem, Vector
from counterpoint.live_store import LiveStore
from serving.engine.item_table import ALWAYS_FROM, ALWAYS_UNTIL
from serving.engine.live_items import LiveItems
from serving.engine.live_view import LiveView
from serving.engine.text_encoder import TextEncoder
from tests.serving import tiny

INDEX = {item: place for place, item in enumerate(tiny.ITEMS, start=1)}
DRAMA = LiveItem("n1", "drama space", None, ("genre=Drama", "genre=Drama|Other"))


@pytest.fixture
def store(tmp_path: Path) -> LiveStore:
    return LiveStore(tmp_path / "items.sqlite")


def overlay(store: LiveStore, folders: dict[str, Path], **changes: object) -> LiveItems:
    contract = json.loads((folders["onnx"] / "contract.json").read_text()) | changes
    encoder = TextEncoder(folders["onnx"] / "item_encoder") if contract["text_width"] else None
    return LiveItems(store.path, contract, INDEX, encoder)


def fresh(live: LiveItems) -> LiveView:
    """The view once everything is encoded."""
    live.refresh()
    live.wait()
    return live.refresh()


def test_nothing_added_changes_nothing(store, folders) -> None:
    view = overlay(store, folders).refresh()
    assert len(view) == 0 and not len(view.hidden) and not view.overrides
    assert view.features.shape == (0, tiny.TEXT_WIDTH + len(tiny.VOCABULARY))


def test_a_new_item_appears_with_its_features_and_keeps_its_view(store, folders) -> None:
    live = overlay(store, folders)
    before = live.refresh()
    assert live.refresh() is before
    store.put([DRAMA, LiveItem("n2", attributes=("genre=Drama",), available_from=5)])
    view = fresh(live)
    assert live.refresh() is view and len(before) == 0
    assert view.ids == ("n1", "n2") and view.titles == ("drama space", "n2")
    assert view.tokens[0] == ("genre=Drama", "genre=Other")
    assert view.available_from.tolist() == [ALWAYS_FROM, 5]
    assert view.available_until.tolist() == [ALWAYS_UNTIL] * 2
    text = TextEncoder(folders["onnx"] / "item_encoder").encode(
        ["drama space. genre: Drama, Other"]
    )
    np.testing.assert_allclose(view.features[0, : tiny.TEXT_WIDTH], text[0], atol=1e-6)
    assert np.linalg.norm(view.features[1, tiny.TEXT_WIDTH :]) == pytest.approx(0.5**0.5)


def test_items_of_the_graph_are_only_overridden_or_hidden(store, folders) -> None:
    live = overlay(store, folders)
    store.put([LiveItem("a", "Better", None, ("genre=New",), None, 9)])
    store.remove(["b", "nobody"])
    view = live.refresh()
    assert len(view) == 0
    new = view.overrides[INDEX["a"]]
    assert (new.title, new.tokens, new.available_until) == ("Better", ("genre=New",), 9)
    assert view.hidden.tolist() == [INDEX["b"]]
    store.put([LiveItem("b")])
    back = live.refresh()
    assert not len(back.hidden) and back.overrides[INDEX["b"]].title is None


def test_removal_and_return_of_a_new_item(store, folders) -> None:
    live = overlay(store, folders)
    store.put([DRAMA])
    assert fresh(live).ids == ("n1",)
    store.remove(["n1"])
    assert live.refresh().ids == ()
    store.put([DRAMA])
    assert fresh(live).ids == ("n1",)


def test_an_item_that_was_trained_in_is_not_there_twice(store, folders) -> None:
    store.put([DRAMA])
    contract = json.loads((folders["onnx"] / "contract.json").read_text())
    encoder = TextEncoder(folders["onnx"] / "item_encoder")
    index = INDEX | {"n1": len(INDEX) + 1}
    view = LiveItems(store.path, contract, index, encoder).refresh()
    assert view.ids == () and set(view.overrides) == {len(INDEX) + 1}


def test_loading_encodes_what_is_missing_and_shares_it(store, folders) -> None:
    store.put([DRAMA])
    live = overlay(store, folders)
    assert live.refresh().ids == ("n1",)
    sha256 = TextEncoder(folders["onnx"] / "item_encoder").sha256
    assert len(store.vectors(sha256, ["n1"])) == 1


def test_a_given_vector_is_used_as_it_is(store, folders) -> None:
    encoder = TextEncoder(folders["onnx"] / "item_encoder")
    text = hashlib.sha256(b"drama space. genre: Drama, Other").hexdigest()
    own = np.arange(tiny.TEXT_WIDTH, dtype="<f4")
    store.put([DRAMA], [Vector(encoder.sha256, "n1", text, own.tobytes())])
    view = overlay(store, folders).refresh()
    np.testing.assert_array_equal(view.features[0, : tiny.TEXT_WIDTH], own)


def test_requests_never_wait_for_the_encoder(store, folders, monkeypatch) -> None:
    live = overlay(store, folders)
    go, encode = threading.Event(), TextEncoder.encode
    monkeypatch.setattr(
        TextEncoder, "encode", lambda self, texts: go.wait(60) and encode(self, texts)
    )
    store.put([DRAMA, LiveItem("plain", attributes=())])
    assert live.refresh().ids == ("plain",)
    assert live.refresh().ids == ("plain",)
    store.put([LiveItem("n1", "other")], replace=True)
    assert live.refresh().ids == ("plain",)
    go.set()
    assert set(fresh(live).ids) == {"n1", "plain"}
    assert fresh(live).titles[live.refresh().ids.index("n1")] == "other"


def test_an_encoder_that_fails_leaves_the_rest(store, folders, monkeypatch, caplog) -> None:
    live = overlay(store, folders)
    monkeypatch.setattr(TextEncoder, "encode", lambda *_: 1 / 0)
    store.put([DRAMA, LiveItem("plain")])
    assert fresh(live).ids == ("plain",)
    assert "could not be encoded" in caplog.text


def test_a_version_without_text_scores_attributes(store, folders) -> None:
    live = overlay(store, folders, text_width=0)
    store.put([DRAMA, LiveItem("n2", "title only")])
    view = live.refresh()
    assert view.features.shape == (2, len(tiny.VOCABULARY))
    assert view.features.any(1).tolist() == [True, False]


def test_attributes_that_another_version_took_are_left_out(store, folders, caplog) -> None:
    live = overlay(store, folders, item_attributes={"genre": {"bins": [1, 2]}})
    store.put([DRAMA])
    assert fresh(live).tokens == ((),)
    assert "'n1'" in caplog.text


def test_two_versions_of_other_encoders_have_their_own_vectors(
    store, folders, tmp_path: Path
) -> None:
    other = tiny.write_onnx(tmp_path / "other")

    class OtherEncoder(nn.Module):
        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            length = attention_mask.sum(1, keepdim=True).float()
            return nn.functional.normalize(length ** torch.arange(tiny.TEXT_WIDTH).float(), dim=1)

    free = {0: "batch", 1: "length"}
    torch.onnx.export(
        OtherEncoder(),
        (torch.tensor([[1, 2]]), torch.ones(1, 2, dtype=torch.int64)),
        str(other / "item_encoder" / "model.onnx"),
        input_names=["input_ids", "attention_mask"],
        output_names=["vector"],
        dynamic_axes={"input_ids": free, "attention_mask": free, "vector": {0: "batch"}},
        dynamo=False,
    )
    first, second = overlay(store, folders), overlay(store, {"onnx": other})
    store.put([DRAMA])
    one, two = fresh(first), fresh(second)
    assert one.ids == two.ids == ("n1",)
    assert np.abs(one.features - two.features).max() > 0.01
    again = overlay(store, folders).refresh()
    np.testing.assert_array_equal(again.features, one.features)


def test_a_store_that_goes_away_keeps_the_last_view(store, folders, caplog) -> None:
    live = overlay(store, folders)
    store.put([LiveItem("plain")])
    assert fresh(live).ids == ("plain",)
    store.path.unlink()
    store.path.mkdir()
    assert live.refresh().ids == ("plain",) and live.refresh().ids == ("plain",)
    assert caplog.text.count("stay as they were") == 1
    store.path.rmdir()
    for rest in store.path.parent.glob("items.sqlite-*"):
        rest.unlink()
    LiveStore(store.path).put([LiveItem("new")])
    assert live.refresh().ids == ("new",)


def test_a_contract_for_other_columns_is_no_concern_of_the_table() -> None:
    assert set(LiveItem("x").row()) - {"vectors"} == set(pl.Schema(columns.ITEMS))
