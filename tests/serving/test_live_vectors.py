"""Live items with vectors of a modality: they score as ``Recommender.extend`` scores them."""

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterpoint import columns
from counterpoint.cold import TIE
from counterpoint.feature_users import histories_of
from counterpoint.recommender import Recommender
from serving import live_items
from serving.in_process import InProcess
from serving.spec import InvalidInput
from tests.counterpoint import image_worlds
from tests.counterpoint.stages import test_modalities as stages
from tests.serving.conftest import in_process
from tests.serving.test_catalogue import ask, change, shown

ran = stages.ran

IMAGES = {item: vector for item, vector in image_worlds.images(7).iter_rows()}
NEW = [
    {"item_id": "seen", "vectors": {"image": IMAGES["i0"]}},
    {"item_id": "seen and told", "title": "odd title", "vectors": {"image": IMAGES["i1"]}},
    {"item_id": "told", "title": "even even title", "vectors": {"image": None}},
    {"item_id": "nothing"},
]


@pytest.fixture
def models(ran: dict[str, Path], tmp_path: Path) -> InProcess:
    (tmp_path / "version").mkdir()
    (tmp_path / "version" / "onnx").symlink_to(ran["onnx"])
    options = {"version": "v", "live_items": str(tmp_path / "items.sqlite")}
    return in_process({"onnx": tmp_path / "version" / "onnx"}, tmp_path / "models", options)


def test_live_scores_are_those_of_the_extended_recommender(models, ran: dict[str, Path]) -> None:
    answers = change(models, "add", *NEW)
    assert [answer["modalities_known"] for answer in answers] == [["image"], ["image"], [], []]
    assert [bool(answer["warnings"]) for answer in answers] == [False, False, False, True]
    assert answers[0]["vectors"] == {"image": image_worlds.WIDTH}
    recommender = Recommender.load(ran["model"])
    rows = pl.DataFrame([{**dict.fromkeys(columns.ITEMS), **row} for row in NEW]).drop("vectors")
    given = {n["item_id"]: n["vectors"]["image"] for n in NEW if n.get("vectors", {}).get("image")}
    frame = pl.DataFrame(
        {columns.ITEM: list(given), columns.VECTOR: list(given.values())}, schema=columns.VECTORS
    )
    extended = recommender.extend(rows, modalities={"image": frame})
    histories = histories_of(ran["features"], recommender).take(list(range(8)))
    wanted = extended.score(histories)
    orders = set()
    for row in range(len(histories)):
        part = slice(int(histories.indptr[row]), int(histories.indptr[row + 1]))
        answer = ask(
            models,
            history=[recommender.item_ids[item] for item in histories.items[part]],
            history_positive=histories.positive[part].tolist(),
            allow=[item["item_id"] for item in NEW],
            k=12,
        )
        found = shown(answer)
        assert set(found) == {item["item_id"] for item in NEW}
        for item, score in found.items():
            assert -1e-4 <= score - wanted[row, extended.item_index[item]] <= TIE + 1e-4
        orders.add(tuple(found))
    assert len(orders) > 1 and all(order[-1] == "nothing" for order in orders)


@pytest.mark.parametrize(
    ("vectors", "said"),
    [
        ({"image": [1.0]}, "image has 1 numbers, the model reads 12"),
        ({"image": [0.0] * 12}, "only zeros"),
        ({"image": ["x"] * 12}, "'x' at place 0 of image is no number"),
        ({"image": [True] * 12}, "is no number"),
        ({"image": [1e39] * 12}, "too large for float32"),
        ({"image": []}, "is not a list of numbers"),
        ({"image": "abc"}, "is not a list of numbers"),
        ({"image": [1.0] * 5000}, "at most 4096"),
        ({"Image": [1.0]}, "no name of a modality"),
        ([1.0], "is not an object"),
    ],
)
def test_a_wrong_vector_is_refused_with_its_field(models, vectors: object, said: str) -> None:
    with pytest.raises(InvalidInput, match=said) as caught:
        change(models, "add", {"item_id": "neu", "vectors": vectors})
    assert str(caught.value).startswith("vectors:")
    assert "neu" not in shown(ask(models, k=12))


def test_a_modality_of_later_models_is_kept_with_a_warning(models) -> None:
    (answer,) = change(models, "add", {"item_id": "neu", "vectors": {"audio": [1.0, 2.0]}})
    assert answer["modalities_known"] == [] and answer["modalities_unknown"] == ["audio"]
    first, second = answer["warnings"]
    assert "reads no audio of new items (it reads image)" in first and "ranks below" in second
    (kept,) = change(models, "get", {"item_id": "neu"})
    assert kept["vectors"] == {"audio": 2}
    answer = ask(models, k=12, allow=["neu", "i1"], history=["i3"])
    assert list(shown(answer)) == ["i1", "neu"]


def test_a_listed_item_tells_its_vectors_widths(models) -> None:
    change(models, "add", *NEW)
    (listed,) = change(models, "list", {})
    found = {item["item_id"]: item["vectors"] for item in listed["items"]}
    assert found["seen"] == {"image": image_worlds.WIDTH} and found["told"] == {}


@given(st.lists(st.integers(1, 400_000), max_size=80))
def test_requests_are_bounded_and_lose_nothing(sizes: list[int]) -> None:
    items = ["x" * size for size in sizes]
    parts = list(live_items._requests(items))
    assert [item for part in parts for item in part] == items
    assert all(0 < len(part) <= live_items.ROWS for part in parts)
    assert all(len(part) == 1 or sum(map(len, part)) <= live_items.BYTES for part in parts)
