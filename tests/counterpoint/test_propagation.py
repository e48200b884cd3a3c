import numpy as np
import scipy.sparse as sp
import torch

from counterpoint.propagation import co_occurrence_neighbours, smooth


def test_neighbours_are_the_items_of_highest_cosine(monkeypatch) -> None:
    monkeypatch.setattr("counterpoint.propagation.BLOCK", 3)
    liked = (np.random.default_rng(0).random((50, 8)) < 0.4).astype(np.float32)
    liked[:, 7] = 0
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


def test_one_item_has_no_neighbour() -> None:
    index, weight = co_occurrence_neighbours(sp.csr_matrix(np.ones((3, 1), np.float32)), 5)
    assert index.shape == weight.shape == (1, 0)
    vectors = torch.ones(1, 2)
    assert torch.equal(
        smooth(vectors, torch.from_numpy(index), torch.from_numpy(weight), 0.4), vectors
    )


def test_smoothing_mixes_the_weighted_mean_of_the_neighbours() -> None:
    vectors = torch.nn.functional.normalize(torch.randn(4, 3), dim=-1)
    index = torch.tensor([[1, 2], [0, 3]])
    weight = torch.tensor([[0.25, 0.75], [0.0, 0.0]])
    out = smooth(vectors, index, weight, 0.4)
    mixed = 0.6 * vectors[0] + 0.4 * (0.25 * vectors[1] + 0.75 * vectors[2])
    torch.testing.assert_close(out[0], mixed / mixed.norm())
    torch.testing.assert_close(out[1], vectors[1])
