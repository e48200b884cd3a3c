import copy

import numpy as np
import polars as pl
import pytest
import torch

from counterpoint import columns, training
from counterpoint.cold import ColdExtension
from counterpoint.item_vectors import similarity_map, similarity_vectors
from counterpoint.recommender import Recommender
from serving.engine import item_table
from serving.engine.catalogue import Catalogue
from tests.counterpoint import toys


@pytest.fixture(scope="module")
def recommender(tmp_path_factory: pytest.TempPathFactory) -> Recommender:
    tables = toys.world()
    folded, drawn = toys.prepared(tables)
    config = toys.small_config(choices={"budget_seconds": 0.0})
    trained = training.fit(
        folded, tables.items, tables.users, drawn, config, workdir=tmp_path_factory.mktemp("w")
    )
    new = {columns.ITEM: ["known", "unknown"], columns.ATTRIBUTES: [["genre=farm"], None]}
    return trained.extend(pl.DataFrame(new))


def test_liked_items_keep_the_vectors_of_the_tower(recommender: Recommender) -> None:
    vectors = similarity_vectors(recommender.module)
    warm = recommender.module.cold.warm.numpy()
    tower = recommender.module.tower.vectors.numpy()[warm]
    assert vectors.shape == (26, 8) and vectors.dtype == np.float32
    np.testing.assert_allclose(
        vectors[: len(warm)][warm], tower / np.linalg.norm(tower, axis=1, keepdims=True), atol=1e-6
    )


def test_new_items_are_like_the_items_of_their_kind(recommender: Recommender) -> None:
    vectors = similarity_vectors(recommender.module)
    np.testing.assert_allclose(np.linalg.norm(vectors[:25], axis=1), 1.0, atol=1e-5)
    assert not vectors[25].any()
    warm = np.flatnonzero(recommender.module.cold.warm.numpy())
    for new in (*np.flatnonzero(~recommender.module.cold.warm.numpy()), 24):
        odd = new == 24 or new % 2 == 1
        alike = vectors[warm] @ vectors[new]
        assert alike[warm % 2 == odd].mean() > alike[warm % 2 != odd].mean()


def test_an_item_added_while_serving_finds_the_place_it_will_have(recommender) -> None:
    table = item_table.table(["x"])
    placing = similarity_map(recommender.module)
    served = Catalogue(table, np.zeros((1, 8), np.float32), placing=placing)
    features = recommender.module.cold.features.numpy()[24:]
    vectors = similarity_vectors(recommender.module)[24:]
    np.testing.assert_allclose(served._placed(features), vectors, atol=1e-6)


def test_the_prediction_is_the_kernel_ridge_regression(recommender: Recommender) -> None:
    """In its dual form; every item's features are drawn anew, so that no two are equal."""
    rng = np.random.default_rng(0)
    module = recommender.module
    warm = module.cold.warm.numpy()
    features = rng.standard_normal((len(warm) + 1, 5)).astype(np.float32)
    kernel = features.astype(np.float64) @ features.T
    known = features[: len(warm)][warm]
    solve = np.linalg.solve(known.T @ known + 2.0 * np.eye(5), known.T).T
    ridge = np.zeros((len(warm), 5), np.float32)
    ridge[warm] = solve
    cold = ColdExtension(
        torch.from_numpy(warm), torch.from_numpy(ridge), torch.from_numpy(features), boost=0.0
    )
    other = copy.copy(module)
    other._modules = {**module._modules, "cold": cold}
    vectors = similarity_vectors(other)
    tower = module.tower.vectors.numpy()[warm].astype(np.float64)
    tower /= np.linalg.norm(tower, axis=1, keepdims=True)
    mean = tower.mean(0)
    inside = np.flatnonzero(warm)
    dual = np.linalg.solve(kernel[np.ix_(inside, inside)] + 2.0 * np.eye(len(inside)), tower - mean)
    expected = mean + kernel[:, inside] @ dual
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    new = np.append(~warm, True)
    np.testing.assert_allclose(vectors[new], expected[new], atol=1e-4)
