import numpy as np
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoint import ials
from counterpoint.factors import FactorScorer


@settings(max_examples=15, deadline=None)
@given(
    st.integers(0, 50),
    st.sampled_from([(4, 3.0, 10.0), (48, 8.0, 1.0), (32, 0.5, 0.3), (64, 40.0, 0.1)]),
)
def test_the_fold_in_of_the_graph_is_that_of_the_library(seed: int, options) -> None:
    dim, confidence, l2 = options
    rng = np.random.default_rng(seed)
    liked = sp.csr_matrix(rng.random((60, 40)) < 0.2, dtype=np.float32)
    model = ials.factorise(
        liked, factors=dim, confidence=confidence, l2=l2, iterations=4, seed=seed
    )
    expected = ials.fold_in(model, liked[:9])
    scorer = FactorScorer(
        torch.from_numpy(np.array(model.item_factors)), confidence=confidence, l2=l2
    )
    width = max(1, int(np.diff(liked[:9].indptr).max()))
    items, counted = np.zeros((9, width), dtype=np.int64), np.zeros((9, width), dtype=np.float32)
    for row in range(9):
        own = liked[row].indices
        items[row, : len(own)], counted[row, : len(own)] = own, 1.0
    found = scorer(torch.from_numpy(items), torch.from_numpy(counted)).numpy()
    np.testing.assert_allclose(found, expected, rtol=2e-3, atol=2e-3)


def test_nobody_likes_anything() -> None:
    scorer = FactorScorer(torch.randn(5, 3), confidence=3.0, l2=1.0)
    assert scorer(torch.zeros(1, 2, dtype=torch.int64), torch.zeros(1, 2)).tolist() == [[0.0] * 5]
