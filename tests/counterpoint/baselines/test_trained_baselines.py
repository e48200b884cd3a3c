"""The baselines trained by gradient steps, against algebra and on data with a known answer."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoint import baselines
from counterpoint.baselines._graph import graph_scorer, user_item_graph
from counterpoint.baselines._pairwise import bpr_loss, pairs
from counterpoint.baselines.sasrec import _windows
from counterpoint.baselines.xsimgcl import info_nce
from tests.counterpoint.baselines.toys import dense, histories, two_tastes


def random_lists(seed, users=6, n_items=7):
    rng = np.random.default_rng(seed)
    return [rng.choice(n_items, rng.integers(1, 5), replace=False).tolist() for _ in range(users)]


def dense_layers(lists, n_items, vectors, n_layers):
    """E, ÂE, ... for the normalised adjacency of users and items together."""
    likes, users = dense(lists, n_items), len(lists)
    adjacency = np.zeros((users + n_items, users + n_items))
    adjacency[:users, users:] = likes
    adjacency[users:, :users] = likes.T
    degree = adjacency.sum(axis=1)
    scale = np.divide(1, np.sqrt(degree), out=np.zeros_like(degree), where=degree > 0)
    adjacency = scale[:, None] * adjacency * scale
    layers = [vectors]
    for _ in range(n_layers):
        layers.append(adjacency @ layers[-1])
    return layers


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 1000), st.integers(1, 3), st.booleans())
def test_graph_scores_equal_dense_algebra(seed, n_layers, with_layer_0):
    lists = random_lists(seed)
    train = histories(lists)
    rng = np.random.default_rng(seed)
    users, items = rng.normal(size=(6, 3)), rng.normal(size=(7, 3))
    layers = dense_layers(lists, 7, np.concatenate([users, items]), n_layers)
    mean = np.mean(layers if with_layer_0 else layers[1:], axis=0)
    scorer = graph_scorer(
        user_item_graph(pairs(train, n_items=7)),
        torch.tensor(users, dtype=torch.float32),
        torch.tensor(items, dtype=torch.float32),
        n_layers=n_layers,
        user_ids=list(train.user_ids) if with_layer_0 else None,
    )
    # The training users folded in again: what the graph gave them.
    np.testing.assert_allclose(scorer.score(train), mean[:6] @ mean[6:].T, rtol=1e-4, atol=1e-5)


def test_the_gradient_of_the_propagation_is_that_of_dense_algebra():
    lists = random_lists(3)
    graph = user_item_graph(pairs(histories(lists), n_items=7))
    generator = torch.Generator().manual_seed(0)
    users = torch.randn(6, 3, generator=generator, requires_grad=True)
    items = torch.randn(7, 3, generator=generator, requires_grad=True)
    target = torch.randn(13, 3, generator=generator)

    def loss(user_layers, item_layers):
        both = torch.cat([sum(user_layers), sum(item_layers)])
        return (both - target).square().sum()

    found = torch.autograd.grad(loss(*graph.layers(users, items, 2)), (users, items))
    forth = torch.tensor(graph.forth.toarray())
    u, i = [users], [items]
    for _ in range(2):
        u, i = [*u, forth @ i[-1]], [*i, forth.T @ u[-1]]
    expected = torch.autograd.grad(loss(u, i), (users, items))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_bpr_loss_by_hand():
    user, liked, other = (torch.tensor([row]) for row in ([1.0, 2.0], [1.0, 0.0], [0.0, 1.0]))
    # <u, i> - <u, j> = 1 - 2.
    assert float(bpr_loss(user, liked, other)) == pytest.approx(np.log(1 + np.exp(1)), rel=1e-6)


def test_info_nce_by_hand():
    first = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    expected = -np.log(np.exp(2) / (np.exp(2) + 1))
    assert float(info_nce(first, first, 0.5)) == pytest.approx(expected, rel=1e-6)


def test_negatives_are_not_liked_unless_everything_is():
    found = pairs(histories([[0, 1, 2], [3]]), n_items=8)
    rng = np.random.default_rng(0)
    drawn = found.negatives(np.zeros(200, dtype=np.int64), rng)
    assert set(drawn.tolist()) == {3, 4, 5, 6, 7}
    everything = pairs(histories([[0, 1]]), n_items=2)
    assert everything.negatives(np.zeros(5, dtype=np.int64), rng).max() < 2


@pytest.mark.parametrize("name", ["bpr", "lightgcn", "xsimgcl"])
def test_beats_popularity_on_two_tastes(name):
    train = two_tastes(users=60)
    scorer = baselines.fit(name, train, n_items=21, options={"epochs": 100})
    popular = baselines.fit("popularity", train, n_items=21, options={})
    lists = [[0, 1, 2], [11, 12, 13]]
    batch = histories(lists, names=["new", "also new"])
    inside: dict = {}
    for method in (scorer, popular):
        scores = method.score(batch)
        scores[batch.owners, batch.items] = -np.inf
        top = np.argsort(-scores, axis=1)[:, :7]
        inside[id(method)] = [(row // 10 == taste).sum() for taste, row in enumerate(top)]
    # Seven items of the taste are left; the list of popularity is the same for both.
    assert min(inside[id(scorer)]) >= 6
    assert min(inside[id(popular)]) <= 4


def test_bpr_fold_in_solves_the_convex_problem():
    scorer = baselines.fit("bpr", two_tastes(), n_items=21, options={"fold_in_steps": 600})
    batch = histories([[0, 1, 2]])
    user = scorer.fold_in(batch)[0].requires_grad_()
    liked = torch.tensor([0, 1, 2])
    other = torch.arange(3, 21)
    scores = scorer.vectors @ user + scorer.bias
    margins = scores[liked][:, None] - scores[other][None]
    # 3 of 21 draws are liked items and count nothing, as in fold_in.
    loss = torch.nn.functional.softplus(-margins).mean() * 18 / 21 + scorer.l2 / 2 * user @ user
    (slope,) = torch.autograd.grad(loss, user)
    start = torch.zeros_like(user).requires_grad_()
    scores = scorer.vectors @ start + scorer.bias
    margins = scores[liked][:, None] - scores[other][None]
    first = torch.nn.functional.softplus(-margins).mean() * 18 / 21
    (steep,) = torch.autograd.grad(first, start)
    assert float(slope.norm()) < 0.2 * float(steep.norm())


@pytest.mark.parametrize(("limit", "epochs"), [(10_000, 40), (1, 120)])
def test_sasrec_learns_a_cycle(limit, epochs):
    """Items come as 0, 1, ..., 11, 0, ...: the next one is known, with full and sampled softmax."""
    rng = np.random.default_rng(0)
    lists = [((rng.integers(12) + np.arange(9)) % 12).tolist() for _ in range(60)]
    options = {"epochs": epochs, "factors": 32, "layers": 1, "dropout": 0, "learning_rate": 0.01}
    options |= {"max_full_softmax_items": limit, "negatives": 6}
    scorer = baselines.fit("sasrec", histories(lists), n_items=12, options=options)
    scores = scorer.score(histories([[3, 4, 5], [10, 11], [7]]))
    assert scores.argmax(axis=1).tolist() == [6, 0, 8]


def test_sasrec_reads_the_newest_places_and_nothing_of_the_future():
    options = {"epochs": 2, "factors": 8, "layers": 1, "max_length": 4}
    scorer = baselines.fit("sasrec", two_tastes(), n_items=21, options=options)
    long, short = [9, 8, 0, 1, 2, 3], [7, 0, 1, 2, 3]
    scores = scorer.score(histories([long, short]))
    np.testing.assert_allclose(scores[0], scores[1], rtol=1e-5, atol=1e-6)
    with torch.no_grad():
        whole = scorer.network(torch.tensor([[21, 0, 1, 2]]))
        part = scorer.network(torch.tensor([[21, 0]]))
    torch.testing.assert_close(whole[:, :2], part)


def test_sasrec_scores_at_places_it_never_trained():
    """A cycle learnt from short histories is followed from long ones, whose places are new."""
    rng = np.random.default_rng(0)
    lists = [((rng.integers(12) + np.arange(7)) % 12).tolist() for _ in range(60)]
    options = {"epochs": 40, "factors": 32, "layers": 1, "dropout": 0, "learning_rate": 0.01}
    scorer = baselines.fit("sasrec", histories(lists), n_items=12, options=options)
    long = [((first + np.arange(24)) % 12).tolist() for first in range(12)]
    assert scorer.score(histories(long)).argmax(axis=1).tolist() == list(range(12))


def test_sasrec_reads_distances_and_no_places():
    options = {"epochs": 2, "factors": 8, "layers": 1}
    scorer = baselines.fit("sasrec", two_tastes(), n_items=21, options=options)
    # Attention over equal items returns the item, at whatever place.
    with torch.no_grad():
        states = scorer.network(torch.full((1, 60), 3))
    torch.testing.assert_close(states, states[:, :1].expand_as(states))


def test_the_budget_in_steps_bounds_training():
    few = {"epochs": 10**6, "max_steps": 2}
    for name in ("bpr", "lightgcn", "xsimgcl", "sasrec"):
        scorer = baselines.fit(name, two_tastes(), n_items=21, options=few)
        assert np.isfinite(scorer.score(histories([[0]]))).all()


def test_sasrec_refuses_a_width_its_heads_do_not_divide():
    from counterpoint.errors import ConfigError

    with pytest.raises(ConfigError, match="heads"):
        baselines.configure("sasrec", {"factors": 10, "heads": 4})


@settings(deadline=None)
@given(st.lists(st.integers(0, 30), max_size=6), st.integers(1, 8), st.integers(0, 100))
def test_windows_predict_every_item_once_from_trained_places(lengths, length, seed):
    liked = [np.arange(n) + 100 * place for place, n in enumerate(lengths)]
    rng = np.random.default_rng(seed)
    windows = _windows(liked, 10_000, length, rng)
    predicted = [int(item) for one in windows for item in one[1:]]
    assert sorted(predicted) == sorted(int(item) for one in liked for item in one)
    assert all(1 < len(one) <= length + 1 for one in windows)
    for one in windows:
        assert one[0] == 10_000 or one[1] == one[0] + 1


def test_short_sequences_are_cut_at_every_place():
    rng = np.random.default_rng(0)
    drawn = [_windows([np.arange(4)], 10_000, 50, rng) for _ in range(100)]
    assert {len(windows[0]) - 1 for windows in drawn} == {1, 2, 3, 4}
