"""Precomputed vectors from training to cold items: what they are good for and what they may be."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoint import columns, modalities, training
from counterpoint.cold import TIE
from counterpoint.config.train import TrainConfig
from counterpoint.errors import ConfigError, DataError
from counterpoint.item_features import Modality
from counterpoint.recommender import Recommender
from counterpoint.text_terms import text_terms
from tests.counterpoint import image_worlds, toys
from tests.counterpoint.stages.test_export import tiny_encoder

NEW = pl.DataFrame({columns.ITEM: ["plain", "like i3"]})


def fit(
    workdir: Path, config: TrainConfig, vectors: modalities.Frames | None, seed: int = 0
) -> tuple[Recommender, pl.DataFrame]:
    tables = image_worlds.world(seed)
    folded, drawn = toys.prepared(tables, protocol="cold_items", cold_share=0.25, item_seed=seed)
    model = training.fit(
        folded, tables.items, tables.users, drawn, config, workdir=workdir, vectors=vectors
    )
    return model, folded


@pytest.fixture(scope="module")
def language(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    root = tmp_path_factory.mktemp("language")
    model = str(tiny_encoder(root / "encoder"))
    return {"model": model, "cache": str(root / "cache"), "max_tokens": 8}


@pytest.fixture(scope="module")
def trained(language, tmp_path_factory: pytest.TempPathFactory) -> Recommender:
    config = toys.small_config(encoder=language)
    work = tmp_path_factory.mktemp("work")
    return fit(work, config, {"image": image_worlds.images()})[0]


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))]
)
def test_images_rank_new_items_where_text_is_noise(seed: int, language, tmp_path: Path) -> None:
    config = toys.small_config(encoder=language, seed=seed)
    blind, folded = fit(tmp_path, config, None, seed)
    seeing, _ = fit(tmp_path, config, {"image": image_worlds.images(seed)}, seed)
    without = image_worlds.on_new_items(blind, folded)
    with_images = image_worlds.on_new_items(seeing, folded)
    assert with_images > without + 0.12


def test_images_alone_are_enough(tmp_path: Path) -> None:
    config = toys.small_config()
    blind, folded = fit(tmp_path, config, None)
    seeing, _ = fit(tmp_path, config, {"image": image_worlds.images()})
    assert (
        image_worlds.on_new_items(seeing, folded) > image_worlds.on_new_items(blind, folded) + 0.2
    )


def test_a_tower_without_them_is_tried_where_there_are_some(tmp_path: Path) -> None:
    towers = {"longer": {"steps": 2.0}, "blind": {"modality_gate": 0.0}}
    config = toys.small_config(choices={"min_valid_users": 5, "towers": towers})
    seeing, _ = fit(tmp_path, config, {"image": image_worlds.images()})
    blind, _ = fit(tmp_path, config, None)
    tried = {"choose-longer", "choose-blind"}
    assert tried <= set(seeing.report["curves"])
    assert tried & set(blind.report["curves"]) == {"choose-longer"}


def test_an_item_with_an_image_and_no_text_goes_to_those_who_like_its_style(trained) -> None:
    image = image_worlds.images().filter(pl.col(columns.ITEM) == "i3")
    shown = image.with_columns(pl.lit("like i3").alias(columns.ITEM))
    extended = trained.extend(NEW, modalities={"image": shown})
    own, other = [3, 9, 15, 21], [1, 7, 13, 19]  # items of the style of i3, and of another
    histories = toys.histories(*[[(item, True) for item in liked] for liked in (own, other)])
    plain, like = extended.score(histories)[:, -2:].T
    assert like[0] > like[1] and (like > plain).all()
    warm = extended.score(histories)[:, :-2]
    assert (plain < warm.min(1)).all()


def test_saving_and_loading_keeps_everything(trained, tmp_path: Path) -> None:
    trained.save(tmp_path / "model")
    loaded = Recommender.load(tmp_path / "model")
    assert loaded.settings == trained.settings
    assert loaded.text_width == trained.text_width == 16
    shown = {"image": image_worlds.frame(["like i3"], np.full((1, image_worlds.WIDTH), 2.0))}
    ones = [model.extend(NEW, modalities=shown) for model in (trained, loaded)]
    first, second = (model.module.cold.features for model in ones)
    assert torch.equal(first, second)


def test_an_item_has_the_same_features_trained_in_or_added(trained, language, tmp_path) -> None:
    tables = image_worlds.world()
    rows = tables.items.with_columns(pl.concat_str(pl.lit("new "), columns.ITEM).alias("item_id"))
    images = image_worlds.images().with_columns(("new " + pl.col("item_id")).alias("item_id"))
    extended = trained.extend(rows, modalities={"image": images})
    features = extended.module.cold.features
    n = trained.n_items
    place = [trained.item_index[item.removeprefix("new ")] for item in extended.item_ids[n:]]
    np.testing.assert_array_equal(features[n:], features[place])


def test_vectors_that_do_not_fit_are_refused(trained) -> None:
    wide = image_worlds.frame(["plain"], np.ones((1, 5)))
    with pytest.raises(DataError, match="'plain' of modality 'image' has 5 numbers, where 12"):
        trained.extend(NEW, modalities={"image": wide})
    with pytest.raises(DataError, match="without the modality 'audio'; it reads image"):
        trained.extend(NEW, modalities={"audio": wide})
    broken = image_worlds.frame(["plain"], np.full((1, image_worlds.WIDTH), np.nan))
    with pytest.raises(DataError, match="hold NaN or infinity"):
        trained.extend(NEW, modalities={"image": broken})
    readable = modalities.readable(trained.settings.modalities, {"image": wide, "audio": wide})
    assert readable == {}
    fine = {"image": image_worlds.images()}
    assert modalities.readable(trained.settings.modalities, fine) == fine


def test_a_setting_of_an_unknown_modality_is_refused(tmp_path: Path) -> None:
    config = toys.small_config(
        tower={"modality_gates": {"imgae": 0.1}}, cold={"modality_weights": {"audio": 1.0}}
    )
    with pytest.raises(ConfigError) as caught:
        fit(tmp_path, config, {"image": image_worlds.images()})
    assert "'imgae'; the data have image" in str(caught.value) and "'audio'" in str(caught.value)


def test_vectors_of_no_item_are_no_modality(tmp_path: Path, caplog) -> None:
    strange = image_worlds.images().with_columns(("x" + pl.col("item_id")).alias("item_id"))
    found = modalities.learn({"image": strange}, ["i0", "i1"], toys.small_config())
    assert found == [] and "Training without image" in caplog.text


def test_words_and_image_of_an_item_are_explained(trained) -> None:
    user = toys.histories([(3, True), (9, True)])
    cold = trained.module.cold
    item = int(np.flatnonzero(~cold.warm.numpy())[0])
    found = text_terms(trained, user, item)
    assert abs(found.score - trained.score(user)[0, item]) <= TIE + 1e-4
    (image,) = [term for term in found.terms if term.source == "modality"]
    start = trained.text_width
    phi = cold.features[item].numpy()[start : start + image_worlds.WIDTH]
    taste = trained.tastes(user)[0, start : start + image_worlds.WIDTH]
    assert image.term == "image" and image.contribution == pytest.approx(taste @ phi, abs=2 * TIE)
    assert {term.source for term in found.terms} == {"title", "modality"}


VECTOR = st.lists(st.floats(-1e3, 1e3, width=32), min_size=4, max_size=4)


@settings(max_examples=60, deadline=None)
@given(st.lists(VECTOR, min_size=1, max_size=6), VECTOR, st.floats(0.1, 100))
def test_prepared_vectors_are_units_or_nothing(rows, centre, scale) -> None:
    given = np.array(rows, dtype=np.float32)
    length = np.linalg.norm(centre) or 1.0
    modality = Modality("image", 1.0, tuple(float(c / length / 2) for c in centre))
    out = modality.prepare(given)
    norms = np.linalg.norm(out, axis=1)
    assert out.dtype == np.float32 and np.isfinite(out).all()
    assert ((np.abs(norms - 1) < 1e-5) | (norms == 0)).all()
    assert (norms[~given.any(1)] == 0).all()
    for row in range(len(given)):
        np.testing.assert_array_equal(modality.prepare(given[row : row + 1])[0], out[row])
    if (np.linalg.norm(given, axis=1) > 1e-3).all():
        np.testing.assert_allclose(modality.prepare(given * np.float32(scale)), out, atol=1e-4)


@settings(max_examples=30, deadline=None)
@given(st.permutations(range(8)), st.integers(0, 8))
def test_vectors_are_put_in_the_order_of_the_items(order, known) -> None:
    ids = [f"i{n}" for n in order[:known]]
    vectors = np.arange(24, dtype=np.float32).reshape(8, 3)[list(order[:known])]
    doubled = pl.concat([image_worlds.frame(ids, vectors), image_worlds.frame(ids, vectors * 2)])
    out = modalities.matrix(doubled, [f"i{n}" for n in range(8)], name="image", width=3)
    for item in range(8):
        expected = [3 * item, 3 * item + 1, 3 * item + 2] if item in order[:known] else [0] * 3
        assert out[item].tolist() == expected
