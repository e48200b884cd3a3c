"""One modality through all stages, from files to a checked ONNX graph."""

import json
from pathlib import Path

import numpy as np
import onnxruntime as ort
import polars as pl
import pytest

from counterpoint import artifacts, columns, tables, vector_tables
from counterpoint.cold import TIE
from counterpoint.config import Config
from counterpoint.feature_users import histories_of
from counterpoint.item_features import Modality
from counterpoint.live_items import parse
from counterpoint.live_store import LiveStore
from counterpoint.point_in_time import PlainFeatures
from counterpoint.recommender import Recommender
from counterpoint.stages import evaluate, export, features, ingest, train, validate
from tests.counterpoint import image_worlds, toys
from tests.counterpoint.stages.test_export import tiny_encoder

WITHOUT = ("i7", "i11")
"""Items that have no image."""


def write_shop(folder: Path) -> None:
    """The files that a shop would have: two tables of text and one of vectors."""
    folder.mkdir()
    world = image_worlds.world()
    world.interactions.select(columns.USER, columns.ITEM, columns.TIMESTAMP).write_csv(
        folder / "events.csv"
    )
    world.items.select(columns.ITEM, columns.TITLE).write_csv(folder / "items.csv")
    images = image_worlds.images().filter(~pl.col(columns.ITEM).is_in(WITHOUT))
    other = pl.DataFrame({columns.ITEM: ["unknown", "i7"], columns.VECTOR: [[1.0] * 12, None]})
    kept = pl.concat([images, other.cast(columns.VECTORS)])
    kept.rename({columns.ITEM: "sku", columns.VECTOR: "clip"}).write_parquet(
        folder / "images.parquet"
    )


def config(root: Path, **ingest_options: object) -> Config:
    shop = root / "shop"
    model = toys.small_config(
        encoder={"model": str(tiny_encoder(root / "enc")), "cache": str(root), "max_tokens": 8},
        fit={"epochs": 1, "min_steps": 6, "batch_size": 32, "checkpoints": str(root / "c")},
    )
    return Config.model_validate(
        {
            "ingest": {
                "dataset": "tables",
                "options": {
                    "interactions": str(shop / "events.csv"),
                    "items": str(shop / "items.csv"),
                },
                "modalities": {"image": {"path": str(shop / "images.parquet"), "column": "clip"}},
                **ingest_options,
            },
            "features": {"examples_per_user": 3, "split": {"protocol": "per_user"}},
            "train": model.model_dump(mode="json"),
            "evaluate": {"baselines": {"popularity": {}}, "resamples": 100},
            "export": {"max_k": 12, "parity_users": 20},
        }
    )


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folders of a run."""
    root = tmp_path_factory.mktemp("images")
    write_shop(root / "shop")
    settings = config(root)
    stages = ("dataset", "validated", "features", "model", "evaluation", "onnx")
    folder = {name: root / name for name in stages}
    ingest.run(settings.ingest, dataset=folder["dataset"])
    validate.run(settings.validation, **{n: folder[n] for n in ("dataset", "validated")})
    features.run(
        settings.features,
        validated=folder["validated"],
        features=folder["features"],
        open_source=lambda read: PlainFeatures(read, 64),
    )
    train.run(settings.train, features=folder["features"], model=folder["model"])
    export.run(settings.export, **{n: folder[n] for n in ("model", "features", "onnx")})
    return folder | {"root": root}


def test_vectors_reach_the_model(ran: dict[str, Path]) -> None:
    images = image_worlds.images()
    for stage in ("validated", "features"):
        kept = vector_tables.read(ran[stage])["image"]
        assert kept.equals(images.filter(~pl.col(columns.ITEM).is_in(WITHOUT)))
    quarantine = pl.read_parquet(
        ran["validated"] / artifacts.QUARANTINE / vector_tables.path(Path(), "image").name
    )
    assert set(quarantine[columns.ITEM]) == {"unknown", "i7"}
    facts = tables.read_json(ran["dataset"] / artifacts.DATASET)
    assert facts["rows"]["vectors.image"] == len(images)
    assert "image from images.parquet: item_id = sku, vector = clip." in facts["notes"]
    model = Recommender.load(ran["model"])
    (modality,) = model.settings.modalities
    assert (modality.name, modality.width) == ("image", image_worlds.WIDTH)
    shown = model.module.cold.features[:, model.text_width :].numpy()
    lacking = [model.item_index[item] for item in WITHOUT]
    assert not shown[lacking].any() and shown.any(1).sum() == len(images) - len(WITHOUT)


def test_a_changed_vector_changes_the_content_hash_and_no_vector_leaves_it(
    ran: dict[str, Path], tmp_path: Path
) -> None:
    settings = config(ran["root"]).ingest
    same = ingest.run(settings, dataset=tmp_path / "same").content_sha256
    assert same == tables.content_hash(ran["dataset"])
    without = settings.model_copy(update={"modalities": {}})
    plain = ingest.run(without, dataset=tmp_path / "same").content_sha256
    assert not vector_tables.named(tmp_path / "same")
    assert plain == tables.content_hash(tables.read(tmp_path / "same")) != same


def test_the_contract_tells_how_to_score_an_item_by_its_image(ran: dict[str, Path]) -> None:
    """From the contract and the taste of the graph alone, as ``Recommender.extend`` does."""
    contract = json.loads((ran["onnx"] / artifacts.CONTRACT).read_text("utf-8"))
    model = Recommender.load(ran["model"])
    vector = np.linspace(7, 9, image_worlds.WIDTH, dtype=np.float32)
    (described,) = contract["modalities"]
    phi = np.zeros(contract["text_width"] + image_worlds.WIDTH + len(contract["item_vocabulary"]))
    centred = vector / np.linalg.norm(vector) - np.array(described["centre"])
    unit = centred / np.linalg.norm(centred)
    start = contract["text_width"]
    phi[start : start + image_worlds.WIDTH] = np.sqrt(described["weight"]) * unit
    histories = histories_of(ran["features"], model)
    feed = vars(model.inputs(histories))
    none = np.zeros((len(histories), 1), np.int64)
    graph = ort.InferenceSession(str(ran["onnx"] / artifacts.RECOMMENDER_ONNX))
    (taste,) = graph.run(["taste"], feed | {"exclude": none, "allow": none, "k": none + 3})
    frames = {"image": image_worlds.frame(["new"], vector[None])}
    extended = model.extend(pl.DataFrame({columns.ITEM: ["new"]}), modalities=frames)
    expected = extended.score(histories)[:, -1]
    found = taste[:, :-2] @ phi + taste[:, -2]
    np.testing.assert_allclose(found - expected, TIE / 2, atol=TIE / 2 + 1e-4)
    assert Modality.of(described) == model.settings.modalities[0]


@pytest.mark.parametrize("champion_sees", [True, False])
def test_a_champion_with_other_modalities_is_still_judged(
    ran: dict[str, Path], champion_sees: bool, tmp_path: Path
) -> None:
    settings = config(ran["root"])
    champion = ran["model"]
    if not champion_sees:
        blind = tmp_path / "blind"
        blind.mkdir()
        for file in ran["features"].iterdir():
            if not file.name.startswith(vector_tables.PREFIX):
                (blind / file.name).symlink_to(file)
        champion = tmp_path / "champion"
        train.run(settings.train, features=blind, model=champion)
    result = evaluate.run(
        settings.evaluate,
        features=ran["features"],
        model=ran["model"],
        evaluation=tmp_path / "evaluation",
        champion=champion,
    )
    assert {"model", "champion"} <= set(result.evaluation["methods"])


def test_vectors_of_live_items_are_trained_with(ran: dict[str, Path], tmp_path: Path) -> None:
    store = LiveStore(tmp_path / "items.sqlite")
    ones, twos = [1.0] * image_worlds.WIDTH, [2.0] * image_worlds.WIDTH
    given = {
        "new": {"image": ones},  # an item of the store alone
        "i7": {"image": twos, "audio": [1.0]},  # an item whose image the data lack
        "i3": {"image": ones},  # an item whose image the data have
        "gone": {"image": ones},
    }
    store.put([parse({"item_id": item, "vectors": vectors}) for item, vectors in given.items()])
    store.remove(["gone"])
    settings = config(ran["root"], live_items=str(store.path))
    result = ingest.run(settings.ingest, dataset=tmp_path / "dataset")
    validate.run(
        settings.validation, dataset=tmp_path / "dataset", validated=tmp_path / "validated"
    )
    before = dict(vector_tables.read(ran["validated"])["image"].iter_rows())
    after = dict(vector_tables.read(tmp_path / "validated")["image"].iter_rows())
    assert after == before | {"new": ones, "i7": twos}
    assert any("audio are left out" in note for note in result.notes)


def test_a_catalogue_behind_an_index_is_exported_too(ran: dict[str, Path], tmp_path: Path) -> None:
    settings = config(ran["root"]).export.model_copy(update={"max_exact_items": 20})
    folders = {name: ran[name] for name in ("model", "features")}
    result = export.run(settings, **folders, onnx=tmp_path / "onnx")
    contract = tables.read_json(tmp_path / "onnx" / artifacts.CONTRACT)
    assert result.recall is not None and "retrieval" in contract
    width = contract["text_width"] + image_worlds.WIDTH + len(contract["item_vocabulary"])
    map_ = np.load(tmp_path / "onnx" / artifacts.SIMILARITY_MAP, allow_pickle=False)
    assert len(map_) == width + 1
