import copy
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from counterpoint import columns
from counterpoint.cold import TIE, ridge_map
from counterpoint.compression import neighbours, new_items
from counterpoint.config.train import ColdConfig
from counterpoint.feature_users import histories_of
from counterpoint.histories import Histories
from counterpoint.recommender import Recommender

HIDDEN = np.array([3, 8, 21, 30])


@pytest.fixture(scope="module")
def recommender(trained: dict[str, Path]) -> Recommender:
    return Recommender.load(trained["model"])


@pytest.fixture(scope="module")
def histories(trained: dict[str, Path], recommender: Recommender) -> Histories:
    return histories_of(trained["features"], recommender)


def test_hidden_items_score_as_items_that_are_added_later(
    recommender: Recommender, histories: Histories
) -> None:
    hidden = new_items.hide(recommender, histories, HIDDEN, users=1000, seed=0)
    width = recommender.text_width
    vectors = np.random.default_rng(0).normal(size=(len(HIDDEN), width)).astype(np.float32)
    vectors[1] = 0.0
    later = recommender.items[HIDDEN].with_columns(pl.format("later {}", columns.ITEM).alias("id"))
    later = later.drop(columns.ITEM).rename({"id": columns.ITEM})
    larger = new_items.without(recommender, HIDDEN).extend(later, vectors=vectors)
    keep = ~np.isin(histories.items, HIDDEN)
    seen = Histories(
        histories.user_ids,
        np.concatenate([[0], np.cumsum(keep)])[histories.indptr],
        histories.items[keep],
        histories.positive[keep],
        histories.timestamps[keep],
        histories.attributes,
    )
    expected = larger.score(seen.take(hidden.users))[:, recommender.n_items :]
    np.testing.assert_allclose(hidden.scores(vectors), expected, atol=TIE + 1e-4)
    assert not np.isin(seen.items, HIDDEN).any()
    for row, user in enumerate(hidden.users):
        own = slice(histories.indptr[user], histories.indptr[user + 1])
        liked = set(histories.items[own][histories.positive[own]].tolist())
        assert set(HIDDEN[hidden.liked[row]].tolist()) == liked & set(HIDDEN.tolist())
        assert hidden.liked[row].any()


def test_the_regression_is_the_one_a_training_without_these_items_would_fit(
    recommender: Recommender,
) -> None:
    recommender = copy.deepcopy(recommender)
    cold = recommender.module.cold
    nothing = new_items.without(recommender, np.array([], dtype=np.int64)).module.cold
    np.testing.assert_allclose(nothing.ridge_map, cold.ridge_map, atol=1e-5)
    popularity = cold.warm.numpy().astype(np.float32)
    popularity[HIDDEN] = 0.0
    for ridge in (0.5, 5.0, 80.0):
        config = ColdConfig(ridge=ridge)
        everything = ridge_map(cold.features.numpy(), cold.warm.numpy().astype("f4"), config)
        cold.ridge_map.copy_(torch.from_numpy(everything))
        found = new_items.without(recommender, HIDDEN).module.cold
        np.testing.assert_allclose(
            found.ridge_map, ridge_map(cold.features.numpy(), popularity, config), atol=1e-4
        )
        assert not found.warm[HIDDEN].any() and cold.warm[HIDDEN].any()


def test_items_are_drawn_once_and_liked_ones_first(
    recommender: Recommender, histories: Histories
) -> None:
    described = np.ones(recommender.n_items, dtype=bool)
    described[::5] = False
    for most in (7, 1000):
        folds = new_items.draw(recommender, histories, described, most=most, folds=3, seed=1)
        items = np.concatenate(folds)
        assert len(set(items.tolist())) == len(items) == min(most, described.sum())
        assert described[items].all()
    counts = np.bincount(histories.items[histories.positive], minlength=recommender.n_items)
    few = new_items.draw(recommender, histories, described, most=7, folds=3, seed=1)
    assert (counts[np.concatenate(few)] > 0).all()


def test_overlap_and_cosine() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(700, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    turned = vectors @ np.linalg.qr(rng.normal(size=(16, 16)))[0].astype(np.float32)
    assert neighbours.overlap(vectors, vectors) == 1.0
    assert neighbours.overlap(vectors, turned) > 0.999
    assert neighbours.cosines(vectors, turned).mean() < 0.5
    assert neighbours.overlap(vectors, rng.permutation(vectors)) < 0.1
    assert np.isnan(neighbours.overlap(vectors[:1], vectors[:1]))
    broken = vectors.copy()
    broken[3, 3] = np.nan
    assert np.isnan(neighbours.overlap(vectors, broken))
    # Against the definition, on a few.
    few, other = vectors[:30], (vectors + 0.3 * rng.normal(size=vectors.shape))[:30].astype("f4")
    shared = 0
    for row in range(30):
        best = [[i for i in np.argsort(-(v[row] @ v.T)) if i != row][:10] for v in (few, other)]
        shared += len(set(best[0]) & set(best[1]))
    assert neighbours.overlap(few, other) == pytest.approx(shared / 300)
