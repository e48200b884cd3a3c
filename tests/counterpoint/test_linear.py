import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoint.config.linear import LinearForm, Weighting
from counterpoint.errors import DataError
from counterpoint.histories import Histories
from counterpoint.linear import Gram, LinearScorer, gram, solve
from tests.counterpoint import toys

RECENT = Weighting(base=1.0, recency=2.0, decay=5.0)


def matrix(users: int, items: int, seed: int = 0) -> sp.csr_matrix:
    return sp.csr_matrix(np.random.default_rng(seed).random((users, items)) < 0.3, dtype=np.float32)


def in_order(liked: sp.csr_matrix) -> Histories:
    """Histories that like the items of each row by index."""
    return toys.histories(*[[(int(i), True) for i in row.indices] for row in liked])


def statistics_of(
    liked: sp.csr_matrix, text: np.ndarray | None = None, max_items: int = 99
) -> Gram:
    text = np.zeros((liked.shape[1], 0), dtype=np.float32) if text is None else text
    return gram(liked, text, in_order(liked), max_items=max_items)


def scorer(weights: np.ndarray, items: np.ndarray, n_items: int) -> LinearScorer:
    return LinearScorer(
        torch.from_numpy(items), torch.from_numpy(weights), n_items=n_items, weighting=RECENT
    )


@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize("text_weight", [0.0, 7.0])
def test_without_order_it_is_each_items_ridge_regression_on_the_others(
    dropout: float, text_weight: float
) -> None:
    liked = matrix(40, 6)
    text = np.random.default_rng(1).standard_normal((6, 5)).astype(np.float32)
    text /= np.linalg.norm(text, axis=1, keepdims=True)
    form = LinearForm(l2=3.0, dropout=dropout, text_weight=text_weight)
    weights = solve(statistics_of(liked, text), form)

    # The kernel is what further users would add, who like each item as much as its text says.
    rows = np.concatenate([liked.toarray(), np.sqrt(text_weight) * text.T])
    ridge = form.l2 + dropout / (1 - dropout) * np.asarray(liked.sum(0)).ravel()
    for item in range(6):
        others = [i for i in range(6) if i != item]
        x = rows[:, others]
        expected = np.linalg.solve(x.T @ x + np.diag(ridge[others]), x.T @ rows[:, item])
        np.testing.assert_allclose(weights[others, item], expected, rtol=1e-4, atol=1e-6)
    assert (np.diag(weights) == 0).all()


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 99),
    st.sampled_from([0.0, 0.2, 0.7]),
    st.sampled_from([0.0, 0.5]),
    st.sampled_from([0.0, 4.0]),
)
def test_with_order_no_change_of_an_items_weights_lowers_the_objective(
    seed: int, share: float, dropout: float, text_weight: float
) -> None:
    rng = np.random.default_rng(seed)
    liked = matrix(20, 5, seed)
    text = rng.standard_normal((5, 3)).astype(np.float32)
    text /= np.linalg.norm(text, axis=1, keepdims=True)
    found = statistics_of(liked, text)
    if len(found.items) < 5:
        return
    form = LinearForm(share=share, l2=2.0, dropout=dropout, text_weight=text_weight)
    order = found.order(form.span)
    weights = solve(found, form)[:-1, :-1].astype(np.float64)
    counts, kernel = found.counts.toarray(), found.text @ found.text.T
    together, followed = order.together.toarray(), order.followed.toarray()
    ridge = form.l2 + dropout / (1 - dropout) * share * np.diag(counts)
    quadratic = share * counts + (1 - share) * together + text_weight * kernel
    linear = share * counts + (1 - share) * followed + text_weight * kernel

    def objective(b: np.ndarray) -> float:
        return float(np.trace(b.T @ (quadratic + np.diag(ridge)) @ b - 2 * b.T @ linear))

    best = objective(weights)
    assert np.diag(weights).max() <= 1e-5
    for _ in range(20):
        step = 0.05 * rng.standard_normal((5, 5))
        moved = weights + step
        diagonal = np.minimum(np.diag(moved), 0.0)
        np.fill_diagonal(moved, diagonal)
        assert objective(moved) >= best - 1e-3 * abs(best)


def test_what_follows_is_learned_with_its_direction() -> None:
    users = toys.histories(*[[(i % 6, True) for i in range(s, s + 4)] for s in range(6)] * 8)
    liked = users.matrix(6, positive_only=True)
    statistics = gram(liked, np.zeros((6, 0), np.float32), users, max_items=6)
    weights = solve(statistics, LinearForm(share=0.0, span=1.0, l2=1.0))[:-1, :-1]
    for item in range(6):
        assert weights[item].argmax() == (item + 1) % 6


def test_items_beyond_the_bound_score_zero_and_the_others_as_if_they_were_alone() -> None:
    liked = matrix(60, 8)
    statistics = statistics_of(liked, max_items=5)
    popularity = np.asarray(liked.sum(0)).ravel()
    assert popularity[statistics.items].min() >= np.delete(popularity, statistics.items).max()

    form = LinearForm(dropout=0.2, share=0.6)
    part = scorer(solve(statistics, form), statistics.items, 8)
    alone = statistics_of(liked[:, statistics.items])
    whole = scorer(solve(alone, form), np.arange(5), 5)
    history = torch.tensor([[1, 3]])
    scores = part(torch.from_numpy(statistics.items)[history], torch.ones(1, 2))
    torch.testing.assert_close(scores[:, statistics.items], whole(history, torch.ones(1, 2)))
    left = np.setdiff1d(np.arange(8), statistics.items)
    assert (scores[:, left] == 0).all()


@pytest.mark.parametrize("share", [1.0, 0.3])
def test_nobody_likes_anything(share: float) -> None:
    statistics = statistics_of(sp.csr_matrix((3, 4), dtype=np.float32), np.zeros((4, 2), "f"))
    weights = solve(statistics, LinearForm(share=share, text_weight=10.0))
    part = scorer(weights, statistics.items, 4)
    assert part(torch.tensor([[0, 1]]), torch.ones(1, 2)).tolist() == [[0.0] * 4]


def test_a_ridge_too_small_is_named() -> None:
    liked = sp.csr_matrix(np.ones((4, 2), dtype=np.float32))
    with pytest.raises(DataError, match=r"l2 = 1e-30.*train.linear.forms"):
        solve(statistics_of(liked), LinearForm(l2=1e-30))


def test_rows_keep_only_their_largest_weights() -> None:
    liked = matrix(60, 8)
    statistics = statistics_of(liked)
    sparse, dense = solve(statistics, LinearForm(), row_top=3), solve(statistics, LinearForm())
    assert ((sparse != 0).sum(1)[:-1] == 3).all()
    kept = np.abs(dense[:-1, :-1][sparse[:-1, :-1] != 0]).reshape(8, 3).min(1)
    dropped = np.where(sparse[:-1, :-1] == 0, np.abs(dense[:-1, :-1]), 0).max(1)
    assert (kept >= dropped).all()


def test_recent_events_weigh_more() -> None:
    part = scorer(np.zeros((2, 2), np.float32), np.array([0]), 1)
    weight = part.event_weight(torch.tensor([0.0, 5.0, 1000.0]))
    torch.testing.assert_close(weight, torch.tensor([3.0, 1 + 2 * np.exp(-1.0), 1.0]).float())
    newest = part.weighed(Weighting(base=0.0, recency=1.0, decay=2.0))
    torch.testing.assert_close(newest.event_weight(torch.tensor([0.0])), torch.tensor([1.0]))


def test_contributions_add_up_to_the_score() -> None:
    statistics = statistics_of(matrix(50, 7))
    part = scorer(solve(statistics, LinearForm()), statistics.items, 7)
    items = torch.tensor([[0, 2, 5], [1, 3, 3]])
    weight = torch.tensor([[1.0, 2.0, 0.5], [1.0, 0.0, 3.0]])
    winners = torch.tensor([[1, 4], [0, 6]])
    expected = part(items, weight).gather(1, winners)
    torch.testing.assert_close(part.contributions(items, weight, winners).sum(1), expected)
