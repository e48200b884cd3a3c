import numpy as np
import pytest
import scipy.sparse as sp
import torch

from counterpoint.cold import ridge_map
from counterpoint.config.train import ColdConfig
from counterpoint.encoder import cold_probe, score_columns
from counterpoint.encoder.regression import RegressionTask


def task(items: int = 20, users: int = 7, ridge: float = 2.0) -> RegressionTask:
    random = torch.Generator().manual_seed(0)
    return RegressionTask(
        np.arange(items),
        torch.randn(items, users, generator=random),
        torch.randn(items, 3, generator=random) * 0.1,
        ridge,
    )


def test_the_loss_is_that_of_the_ridge_regression_of_cold_items() -> None:
    known = task()
    drawn = known.draw(12, np.random.default_rng(0))
    vectors = torch.randn(12, 5, generator=torch.Generator().manual_seed(1))
    features = torch.cat([vectors, known.attributes[drawn]], 1).numpy()
    columns = known.columns[drawn].numpy()
    config = ColdConfig(ridge=2.0 * 6 / 20)
    errors = []
    for one, other in ((slice(6), slice(6, 12)), (slice(6, 12), slice(6))):
        weights = ridge_map(features[one], np.ones(6, np.float32), config)
        predicted = features[other] @ (weights.T @ columns[one])
        errors.append(((predicted - columns[other]) ** 2).mean())
    assert float(known.loss(vectors, drawn)) == pytest.approx(np.mean(errors), rel=1e-3)


def test_it_is_differentiable_and_descends() -> None:
    known = task(ridge=0.5)
    vectors = torch.nn.Parameter(torch.randn(20, 8, generator=torch.Generator().manual_seed(2)))
    optimizer = torch.optim.Adam([vectors], lr=0.05)
    items = np.arange(20)
    before = known.loss(vectors, items).item()
    for _ in range(200):
        optimizer.zero_grad()
        known.loss(vectors, items).backward()
        optimizer.step()
    assert known.loss(vectors, items).item() < 0.5 * before


def test_draws_are_different_items() -> None:
    drawn = task().draw(50, np.random.default_rng(0))
    assert sorted(drawn) == list(range(20))


def test_score_columns_are_ease_standardised() -> None:
    random = np.random.default_rng(0)
    liked = sp.csr_matrix((random.random((30, 9)) < 0.4).astype(np.float32))
    left_out = np.zeros(9, bool)
    left_out[4] = True
    found = score_columns.solve(liked, left_out)
    assert found is not None and found.items.tolist() == [0, 1, 2, 3, 5, 6, 7, 8]
    known = liked[:, found.items].toarray().astype(np.float64)
    for j in range(8):
        others = np.arange(8) != j
        system = known[:, others].T @ known[:, others] + score_columns.L2 * np.eye(7)
        weights = np.linalg.solve(system, known[:, others].T @ known[:, j])
        np.testing.assert_allclose(found.weights[others, j], weights, atol=1e-9)
    scores = found.of(np.arange(30))
    np.testing.assert_allclose(scores.mean(1), 0, atol=1e-5)
    assert score_columns.solve(liked, np.arange(9) > 0) is None


def test_the_probe_rewards_vectors_that_tell_taste_and_withholds_few() -> None:
    random = np.random.default_rng(0)
    taste = np.arange(60) % 3
    liked = sp.csr_matrix(
        ((taste[None] == (np.arange(50) % 3)[:, None]) & (random.random((50, 60)) < 0.6)).astype(
            np.float32
        )
    )
    popularity = np.asarray(liked.sum(0)).ravel().astype(np.float32)
    withheld = cold_probe.withhold(popularity, np.ones(60, bool), share=0.3, seed=0)
    assert withheld.sum() == 18
    columns = score_columns.solve(liked, withheld)
    assert columns is not None and not withheld[columns.items].any()
    none: list[list[str]] = [[] for _ in range(60)]
    probe = cold_probe.build(columns, liked, withheld, none, [], ColdConfig(), seed=0)
    assert probe is not None
    telling = np.eye(3, dtype=np.float32)[taste]
    mute = random.normal(size=(60, 3)).astype(np.float32)
    mute /= np.linalg.norm(mute, axis=1, keepdims=True)
    assert probe.look(telling).mean() > probe.look(mute).mean() + 0.2
    few = liked.copy()
    few.data[:] = 0
    few.eliminate_zeros()
    assert cold_probe.build(columns, few, withheld, none, [], ColdConfig(), seed=0) is None
