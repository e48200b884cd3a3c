"""Modalities that say nothing of what people like are left out for new items."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from counterpoint import columns, fitting, modality_choice, selection, splits
from counterpoint.config.train import TrainConfig
from counterpoint.item_catalogue import ItemCatalogue, describe
from counterpoint.pools import Validation
from counterpoint.recommender import Recommender
from tests.counterpoint import image_worlds, toys
from tests.counterpoint.test_modalities import fit

WIDE = 64


def noise(seed: int = 0):
    rng = np.random.default_rng(seed + 50)
    items = image_worlds.STYLES * image_worlds.PER_STYLE
    return image_worlds.frame([f"i{n}" for n in range(items)], rng.standard_normal((items, WIDE)))


@pytest.fixture(scope="module")
def judged() -> tuple[list[str], list[dict], ItemCatalogue, TrainConfig]:
    tables = image_worlds.world(2)
    folded, drawn = toys.prepared(tables, protocol="per_user")
    config = toys.small_config(seed=2)
    vectors = {"image": image_worlds.images(2), "noise": noise(2)}
    catalogue = describe(folded, tables.items, config, vectors)
    fold = fitting.prepare(folded, catalogue, {}, "choose", config)
    tower, _ = fitting.fit_towers(
        fold,
        drawn.filter(drawn["fit"] == "choose"),
        catalogue,
        config,
        checkpoint=None,
        tensorboard=None,
    )
    start = selection.start(config, has_text=False, train_users=300)
    module = fitting.assemble(fold, catalogue, tower, start, ["none"], config)
    histories, targets = splits.fold_histories(folded, "valid", catalogue.index)
    validation = Validation(histories, targets, fold.warm, ["none"], 512)
    return *modality_choice.choose(module, fold, validation, catalogue, config), catalogue, config


def test_what_helps_is_kept_and_what_it_is_worth_is_told(judged) -> None:
    dropped, tried, _, _ = judged
    assert "image" not in dropped
    by_name = {record["modality"]: record for record in tried}
    assert set(by_name) == {"image", "noise"}
    assert by_name["image"]["ndcg@10 with"] > by_name["image"]["ndcg@10 without"] + 0.1
    assert by_name["image"]["taken"] and by_name["image"]["users"] > 20
    assert dropped == [name for name, record in by_name.items() if not record["taken"]]


def test_a_silenced_modality_has_weight_0_and_no_features(judged) -> None:
    *_, catalogue, _ = judged
    silent = catalogue.silencing(["image"])
    assert [c.modality.weight for c in silent.contents] == [0.0, 1.0]
    assert not silent.features[:, : image_worlds.WIDTH].any()
    rest = slice(image_worlds.WIDTH, None)
    np.testing.assert_array_equal(silent.features[:, rest], catalogue.features[:, rest])
    assert catalogue.features[:, : image_worlds.WIDTH].any()
    assert catalogue.silencing([]).features.tobytes() == catalogue.features.tobytes()


def test_vectors_that_lead_astray_are_left_out_of_the_model(tmp_path: Path) -> None:
    config = toys.small_config(cold={"modality_weights": {"astray": 20.0}})
    model, _ = fit(tmp_path, config, {"image": image_worlds.images(), "astray": noise()})
    assert model.report["choices"]["modalities of new items"] == {"astray": 0.0, "image": 1.0}
    first, second = model.settings.modalities
    assert (first.name, first.weight, second.weight) == ("astray", 0.0, 1.0)
    features = model.module.cold.features
    assert not features[:, : first.width].any()
    model.save(tmp_path / "model")
    new = {"astray": image_worlds.frame(["new"], np.ones((1, WIDE)))}
    rows = pl.DataFrame({columns.ITEM: ["new"]})
    extended = Recommender.load(tmp_path / "model").extend(rows, modalities=new)
    assert not extended.module.cold.features[-1, : first.width].any()


def test_nothing_is_chosen_without_a_budget(tmp_path: Path) -> None:
    config = toys.small_config(choices={"budget_seconds": 0.0})
    model, _ = fit(tmp_path, config, {"noise": noise()})
    assert model.report["choices"]["modalities of new items"] == {"noise": 1.0}
    assert not [r for r in model.report["tried"] if r["step"] == "modality of new items"]
