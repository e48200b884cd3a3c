import numpy as np
import pytest
import scipy.sparse as sp
import torch

from counterpoint.config.train import LinearConfig
from counterpoint.linear import LinearScorer, gram, solve


def matrix(users: int, items: int, seed: int = 0) -> sp.csr_matrix:
    return sp.csr_matrix(np.random.default_rng(seed).random((users, items)) < 0.3, dtype=np.float32)


def scorer(weights: np.ndarray, items: np.ndarray, n_items: int) -> LinearScorer:
    return LinearScorer(
        torch.from_numpy(items), torch.from_numpy(weights), n_items=n_items, recency=2.0, decay=5.0
    )


@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize("text_weight", [0.0, 7.0])
def test_solution_is_each_items_ridge_regression_on_the_others(dropout, text_weight) -> None:
    liked = matrix(40, 6)
    text = np.random.default_rng(1).standard_normal((6, 5)).astype(np.float32)
    text /= np.linalg.norm(text, axis=1, keepdims=True)
    config = LinearConfig(l2=3.0, dropout=dropout)
    weights = solve(gram(liked, text, config), text_weight, config)

    # The kernel is what further users would add, who like each item as much as its text says.
    rows = np.concatenate([liked.toarray(), np.sqrt(text_weight) * text.T])
    ridge = config.l2 + dropout / (1 - dropout) * np.asarray(liked.sum(0)).ravel()
    for item in range(6):
        others = [i for i in range(6) if i != item]
        x = rows[:, others]
        expected = np.linalg.solve(x.T @ x + np.diag(ridge[others]), x.T @ rows[:, item])
        np.testing.assert_allclose(weights[others, item], expected, rtol=1e-4, atol=1e-6)
    assert (np.diag(weights) == 0).all()


def test_items_beyond_the_bound_score_zero_and_the_others_as_if_they_were_alone() -> None:
    liked = matrix(60, 8)
    text = np.zeros((8, 0), dtype=np.float32)
    config = LinearConfig(max_items=5)
    statistics = gram(liked, text, config)
    popularity = np.asarray(liked.sum(0)).ravel()
    assert popularity[statistics.items].min() >= np.delete(popularity, statistics.items).max()

    part = scorer(solve(statistics, 0.0, config), statistics.items, 8)
    whole = scorer(
        solve(gram(liked[:, statistics.items], text[:5], config), 0.0, config), np.arange(5), 5
    )
    history = torch.tensor([[1, 3]])
    scores = part(torch.from_numpy(statistics.items)[history], torch.ones(1, 2))
    torch.testing.assert_close(scores[:, statistics.items], whole(history, torch.ones(1, 2)))
    left = np.setdiff1d(np.arange(8), statistics.items)
    assert (scores[:, left] == 0).all()


def test_nobody_likes_anything() -> None:
    config = LinearConfig()
    statistics = gram(sp.csr_matrix((3, 4), dtype=np.float32), np.zeros((4, 2), np.float32), config)
    part = scorer(solve(statistics, 10.0, config), statistics.items, 4)
    assert part(torch.tensor([[0, 1]]), torch.ones(1, 2)).tolist() == [[0.0] * 4]


def test_rows_keep_only_their_largest_weights() -> None:
    liked = matrix(60, 8)
    text = np.zeros((8, 0), dtype=np.float32)
    config = LinearConfig(row_top=3)
    statistics = gram(liked, text, config)
    sparse, dense = solve(statistics, 0.0, config), solve(statistics, 0.0, LinearConfig())
    assert ((sparse != 0).sum(1)[:-1] == 3).all()
    kept = np.abs(dense[:-1, :-1][sparse[:-1, :-1] != 0]).reshape(8, 3).min(1)
    dropped = np.where(sparse[:-1, :-1] == 0, np.abs(dense[:-1, :-1]), 0).max(1)
    assert (kept >= dropped).all()


def test_recent_events_weigh_more() -> None:
    part = scorer(np.zeros((2, 2), np.float32), np.array([0]), 1)
    weight = part.event_weight(torch.tensor([0.0, 5.0, 1000.0]))
    torch.testing.assert_close(weight, torch.tensor([3.0, 1 + 2 * np.exp(-1.0), 1.0]).float())


def test_contributions_add_up_to_the_score() -> None:
    liked = matrix(50, 7)
    config = LinearConfig()
    statistics = gram(liked, np.zeros((7, 0), np.float32), config)
    part = scorer(solve(statistics, 0.0, config), statistics.items, 7)
    items = torch.tensor([[0, 2, 5], [1, 3, 3]])
    weight = torch.tensor([[1.0, 2.0, 0.5], [1.0, 0.0, 3.0]])
    winners = torch.tensor([[1, 4], [0, 6]])
    expected = part(items, weight).gather(1, winners)
    torch.testing.assert_close(part.contributions(items, weight, winners).sum(1), expected)
