"""Vectors on the command line: of one live item, and of the candidates of a batch."""

import json
import struct
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from rich.console import Console

from counterpoint import columns
from counterpoint.config import Config, load, merge
from counterpoint.errors import ConfigError, DataError
from counterpoint.live_store import LiveStore
from pipelines.commands.batch import batch
from pipelines.commands.live_items import add_item
from pipelines.runners import run_local
from serving.registry import Registry
from tests.counterpoint import image_worlds
from tests.counterpoint.stages import test_modalities as stages

ran = stages.ran


def test_a_vector_is_given_as_npy_or_json(tmp_path: Path) -> None:
    np.save(tmp_path / "one.npy", np.array([[0.5, 2.0]]))
    (tmp_path / "two.json").write_text("[1, 2.5, -3]")
    given = [f"image={tmp_path / 'one.npy'}", f"audio={tmp_path / 'two.json'}"]
    add_item(item_id="new", vector=given, store=tmp_path / "items.sqlite")
    row = LiveStore(tmp_path / "items.sqlite").get("new")
    assert row is not None
    kept = {name: struct.unpack(f"<{len(v) // 4}f", v) for name, v in row.item.vectors}
    assert kept == {"image": (0.5, 2.0), "audio": (1.0, 2.5, -3.0)}


def test_a_file_of_items_may_hold_vectors(tmp_path: Path) -> None:
    rows = [
        {"item_id": "a", "vectors": {"image": [1.0, 2.0]}},
        {"item_id": "b", "vectors": None, "genre": "Drama"},
        {"item_id": "c", "vectors": {"image": None}},
    ]
    (tmp_path / "new.jsonl").write_text("\n".join(map(json.dumps, rows)))
    add_item(file=tmp_path / "new.jsonl", store=tmp_path / "items.sqlite")
    stored = LiveStore(tmp_path / "items.sqlite").since()
    assert {row.item.item_id: len(row.item.vectors) for row in stored} == {"a": 1, "b": 0, "c": 0}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("image", "must look like image=new.npy"),
        ("image=absent.npy", "is no readable .npy file"),
        ("image=absent.json", "cannot be read as a vector"),
        ("image=broken.json", "cannot be read as a vector"),
        ("image=words.json", "is no number"),
        ("image=objects.npy", "never loaded"),
        ("Image=fine.json", "no name of a modality"),
    ],
)
def test_a_wrong_vector_is_one_sentence(
    given: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("broken.json").write_text("[1, 2")
    Path("words.json").write_text('["a"]')
    Path("fine.json").write_text("[1]")
    np.save("objects.npy", np.array([None]), allow_pickle=True)
    with pytest.raises((ConfigError, DataError), match=said):
        add_item(item_id="new", vector=[given], store=Path("items.sqlite"))


def test_a_batch_reads_vectors_of_new_candidates(ran: dict[str, Path], tmp_path: Path) -> None:
    images = image_worlds.images(5).head(12)
    new = images.with_columns(("new " + pl.col(columns.ITEM)).alias(columns.ITEM))
    new.write_parquet(tmp_path / "new.parquet")
    new.select(columns.ITEM).write_csv(tmp_path / "new.csv")
    options = {
        "model": ran["model"],
        "history": ran["root"] / "shop" / "events.csv",
        "candidates": tmp_path / "new.csv",
    }
    batch(**options, output=tmp_path / "with.parquet", vectors=[f"image={tmp_path}/new.parquet"])
    batch(**options, output=tmp_path / "without.parquet")
    found = pl.read_parquet(tmp_path / "with.parquet")
    assert found[columns.ITEM].str.starts_with("new ").all()
    assert found.group_by("user_id").agg(pl.col("item_id").first())["item_id"].n_unique() > 1
    # Without vectors nothing tells the new items apart: everybody gets one list.
    blind = pl.read_parquet(tmp_path / "without.parquet")
    assert blind.group_by("user_id").agg(pl.col("item_id").first())["item_id"].n_unique() == 1
    with pytest.raises(ConfigError, match="name the file of the candidates"):
        batch(ran["model"], options["history"], tmp_path / "x.parquet", vectors=["image=y"])
    with pytest.raises(ConfigError, match="must look like image"):
        batch(**options, output=tmp_path / "x.parquet", vectors=["image"])
    with pytest.raises(DataError, match="trained without the modality 'audio'"):
        batch(**options, output=tmp_path / "x.parquet", vectors=[f"audio={tmp_path}/new.parquet"])


def test_the_configuration_names_them() -> None:
    config = load(overrides=["ingest.modalities.image=clip/", "train.tower.gates=learned"])
    assert config.ingest.modalities["image"].path == "clip/"
    again = type(config).model_validate(config.model_dump(mode="json"))
    assert again == config
    with pytest.raises(ConfigError, match="modality 'text' must be"):
        load(overrides=["ingest.modalities.text=clip/"])
    with pytest.raises(ConfigError, match="modality_gates"):
        load(overrides=["train.tower.modality_gates.image=-1"])


@pytest.mark.slow
def test_a_pipeline_deploys_a_model_that_sees_images(small: Config, tmp_path: Path) -> None:
    stages.write_shop(tmp_path / "shop")
    shop = tmp_path / "shop"
    config = Config.model_validate(
        merge(
            small.model_dump(mode="json"),
            {
                "ingest": {
                    "options": {
                        "interactions": {"path": str(shop / "events.csv")},
                        "items": {"path": str(shop / "items.csv")},
                        "users": None,
                    },
                    "modalities": {"image": {"path": str(shop / "images.parquet")}},
                },
                "gate": {"must_beat": [], "min_users": 1},
                "deploy": {"registry": str(tmp_path / "registry")},
            },
        )
    )
    finished = run_local("training", config, root=tmp_path / "runs", console=Console(quiet=True))
    assert finished.held == []
    champion = Registry(config.deploy.registry).champion()
    assert champion is not None
    with Registry(config.deploy.registry).open(champion.version) as folder:
        contract = json.loads((folder / "onnx" / "contract.json").read_text("utf-8"))
    (modality,) = contract["modalities"]
    assert modality["name"] == "image" and len(modality["centre"]) == image_worlds.WIDTH
    validated = next(stage for stage in finished.watcher.stages if stage.name == "validate")
    assert validated.figures["accepted_vectors_image"] == 88
