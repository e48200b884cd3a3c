"""A recommender whose text encoder was trained: saved, loaded, extended and exported whole."""

import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from counterpoint import columns, encoder_export, examples, tables, training
from counterpoint.config import ExportConfig, FeaturesConfig
from counterpoint.config.train import TrainConfig
from counterpoint.encoder import TextEncoder
from counterpoint.errors import DataError
from counterpoint.recommender import Recommender
from counterpoint.stages import train
from tests.counterpoint import toys
from tests.counterpoint.encoder import shelves, tiny


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Recommender, Path]:
    folder = tmp_path_factory.mktemp("trained")
    world = shelves.shelves()
    encoder = shelves.config(tiny.save(folder / "tiny"), folder / "cache").encoder
    config: TrainConfig = toys.small_config(encoder=encoder.model_dump())
    drawn = examples.plain_examples(world.interactions, world.users, FeaturesConfig())
    model = training.fit(
        world.interactions, world.items, world.users, drawn, config, workdir=folder / "work"
    )
    model.save(folder / "model")
    return model, folder


def test_the_report_says_that_it_paid(trained) -> None:
    model, _ = trained
    assert model.settings.encoder_trained
    assert model.report["encoder"]["pays"]
    curves = model.report["curves"]["encoder"]
    assert len(curves["total"]) == model.report["encoder"]["steps"] > 0
    assert curves["look_ndcg"][-1] > curves["look_ndcg"][0]


def test_the_stage_tells_what_became_of_the_encoder(trained) -> None:
    model, _ = trained
    result = train.summarise(model.report)
    assert "Text encoder: training pays" in result.notes
    figures = result.figures
    assert figures["encoder_trained_ndcg"] > figures["encoder_frozen_ndcg"]


def test_the_model_folder_holds_its_encoder(trained, tmp_path: Path) -> None:
    model, folder = trained
    moved = tmp_path / "elsewhere"
    shutil.copytree(folder / "model", moved)
    loaded = Recommender.load(moved)
    assert loaded.settings.encoder.model == str(moved / "encoder")
    assert TextEncoder(loaded.settings.encoder).weights_sha256 == model.settings.encoder_sha256
    loaded.save(moved)
    assert Recommender.load(moved).settings == loaded.settings
    shutil.rmtree(moved / "encoder")
    with pytest.raises(DataError, match="trained text encoder"):
        Recommender.load(moved)


def test_new_items_are_encoded_by_the_trained_encoder(trained) -> None:
    model, folder = trained
    loaded = Recommender.load(folder / "model")
    new = pl.DataFrame({columns.ITEM: ["new"], columns.TITLE: ["space story of the"]})
    new = tables.conform(new, columns.ITEMS, table="items")
    vectors = TextEncoder(loaded.settings.encoder).encode(["space story of the"])
    frozen = model.settings.encoder.model_copy(update={"model": str(folder / "tiny")})
    assert np.abs(vectors - TextEncoder(frozen).encode(["space story of the"])).max() > 0.01
    extended = loaded.extend(new)
    given = loaded.extend(new, vectors=vectors)
    np.testing.assert_array_equal(extended.module.cold.features, given.module.cold.features)


def test_the_trained_encoder_is_exported(trained, tmp_path: Path) -> None:
    _, folder = trained
    loaded = Recommender.load(folder / "model")
    encoder = encoder_export.load(loaded.settings)
    difference = encoder_export.write(encoder, loaded.items, tmp_path / "out", ExportConfig())
    assert difference < 1e-4
