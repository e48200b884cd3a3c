import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoint import sparse_top
from counterpoint.config.towers import TowerConfig
from counterpoint.propagation import (
    HopWeights,
    co_occurrence_neighbours,
    item_graph,
    lightgcn_neighbours,
    propagate,
)
from tests.counterpoint.batch_maker import batch, two_tower


def random_likes(users: int = 50, items: int = 8, seed: int = 0) -> np.ndarray:
    liked = (np.random.default_rng(seed).random((users, items)) < 0.4).astype(np.float32)
    liked[:, -1] = 0
    return liked


def dense(index: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The sparse graph as an (N, N) matrix."""
    out = np.zeros((len(index), len(index)), dtype=np.float64)
    np.add.at(out, (np.arange(len(index))[:, None], index), weight)
    return out


def tensors(graph: tuple[np.ndarray, np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(graph[0]), torch.from_numpy(graph[1])


def test_neighbours_are_the_items_of_highest_cosine(monkeypatch) -> None:
    monkeypatch.setattr(sparse_top, "MAX_ENTRIES", 12)
    liked = random_likes()
    index, weight = co_occurrence_neighbours(sp.csr_matrix(liked), 3)
    norm = np.linalg.norm(liked, axis=0)
    cosine = (liked.T @ liked) / np.maximum(np.outer(norm, norm), 1e-9)
    np.fill_diagonal(cosine, 0)
    for item in range(7):
        assert set(index[item]) == set(np.argsort(-cosine[item])[:3])
        np.testing.assert_allclose(
            weight[item], cosine[item][index[item]] / cosine[item][index[item]].sum(), rtol=1e-5
        )
    assert weight[7].tolist() == [0, 0, 0]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6), st.booleans(), st.integers(1, 200))
def test_the_largest_entries_of_a_product_in_blocks(seed, top, own, limit) -> None:
    rng = np.random.default_rng(seed)
    left = sp.csr_matrix(rng.random((6, 9)) * (rng.random((6, 9)) < 0.4))
    product = (left @ left.T).toarray()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sparse_top, "MAX_ENTRIES", limit)
        index, value = sparse_top.sparse_top(left, left.T.tocsr(), top, own=own, what="Multiply")
    if not own:
        np.fill_diagonal(product, 0)
    kept = min(top, 6 if own else 5)
    assert index.shape == value.shape == (6, kept)
    np.testing.assert_allclose(-np.sort(-value), -np.sort(-product)[:, :kept], atol=1e-6)


def test_one_item_has_no_neighbour() -> None:
    index, weight = co_occurrence_neighbours(sp.csr_matrix(np.ones((3, 1), np.float32)), 5)
    assert index.shape == weight.shape == (1, 0)
    vectors = torch.ones(1, 2)
    near = torch.from_numpy(index), torch.from_numpy(weight)
    assert torch.equal(propagate(lambda _: vectors, near, HopWeights((0.6, 0.4))), vectors)


def test_one_hop_mixes_the_weighted_mean_of_the_neighbours() -> None:
    vectors = torch.randn(4, 3)
    index = torch.tensor([[1, 2], [0, 3], [2, 2], [3, 3]])
    weight = torch.tensor([[0.25, 0.75], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    hops = HopWeights.of(0.4, TowerConfig())
    out = propagate(lambda _: vectors, (index, weight), hops)
    expected = 0.6 * vectors[0] + 0.4 * (0.25 * vectors[1] + 0.75 * vectors[2])
    torch.testing.assert_close(out[0], expected)
    torch.testing.assert_close(out[1], 0.6 * vectors[1])


def test_the_whole_lightgcn_graph_equals_layers_on_the_bipartite_graph() -> None:
    liked = random_likes()
    users, items = liked.sum(1), liked.sum(0)
    edge = liked / np.sqrt(np.maximum(np.outer(users, items), 1))
    full = np.block([[np.zeros((50, 50)), edge], [edge.T, np.zeros((8, 8))]])
    layer = np.vstack([np.zeros((50, 3)), np.random.default_rng(1).random((8, 3))])
    start, expected = torch.from_numpy(layer[50:].astype(np.float32)), np.zeros((8, 3))
    for hop in range(3):
        expected += layer[50:] / 3
        if hop < 2:
            layer = full @ full @ layer
    graph = tensors(lightgcn_neighbours(sp.csr_matrix(liked), 100))
    out = propagate(lambda _: start, graph, HopWeights((1 / 3, 1 / 3, 1 / 3)))
    np.testing.assert_allclose(out.numpy(), expected, rtol=1e-5, atol=1e-7)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 11), min_size=1, max_size=6), st.integers(1, 3), st.integers(0, 99))
def test_a_part_of_the_items_equals_its_rows_of_all(index, layers, seed) -> None:
    torch.manual_seed(seed)
    graph = torch.randint(0, 12, (12, 2)), torch.rand(12, 2)
    hops = HopWeights.of(0.7, TowerConfig(layers=layers))
    vectors = torch.randn(12, 3)
    whole = propagate(lambda _: vectors, graph, hops)
    asked = torch.tensor(index)
    part = propagate(lambda i: vectors if i is None else vectors[i], graph, hops, asked)
    torch.testing.assert_close(part, whole[asked])


def test_the_weights_of_the_hops() -> None:
    assert HopWeights.of(0.6, TowerConfig(layers=3)).values == pytest.approx((0.4, 0.2, 0.2, 0.2))
    given_weights = TowerConfig(layers=2, layer_weights=(0.5, 0.25, 0.25))
    assert HopWeights.of(0.6, given_weights).values == (0.5, 0.25, 0.25)
    assert not HopWeights.of(0.0, given_weights).active
    with pytest.raises(ValueError, match="3 numbers of sum 1"):
        TowerConfig(layers=2, layer_weights=(0.5, 0.5))


def test_the_configuration_chooses_the_graph() -> None:
    liked = sp.csr_matrix(random_likes())
    cosine, light = (
        item_graph(liked, TowerConfig(neighbours=3, graph=g)) for g in ("cosine", "lightgcn")
    )
    assert cosine[0].shape == (8, 3) and light[0].shape == (8, 4)
    assert (light[0][:, 0] == np.arange(8)).all()
    assert not np.allclose(dense(*cosine), dense(*light))


@pytest.mark.parametrize("layers", [1, 2])
def test_propagated_histories_train_and_are_served_alike(layers: int) -> None:
    torch.manual_seed(0)
    model = two_tower(10, history_smoothing=0.5, layers=layers).eval()
    example = batch([[0, 3, 3], [], [7]], [[], [], []])
    expected = model.user(example)
    history = torch.tensor([[0, 3, 3], [0, 0, 0], [7, 0, 0]])
    age = torch.tensor([[2.0, 1.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    liked = torch.tensor([[True, True, True], [False] * 3, [True, False, False]])
    for _ in range(2):
        served, _ = model.user.padded(history, age, liked, torch.zeros_like(liked))
        torch.testing.assert_close(served, expected)
        torch.testing.assert_close(model.user(example), expected)
        model.user.bake()
    assert not model.user.hops.active
    plain = two_tower(10)
    plain.user.load_state_dict(model.user.state_dict())
    torch.testing.assert_close(plain.eval().user(example), expected)
