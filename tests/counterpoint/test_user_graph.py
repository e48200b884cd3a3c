import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoint import sparse_top
from counterpoint.user_graph import propagate_labels, user_similarity


def likes(seed: int, users: int = 12, items: int = 9) -> np.ndarray:
    liked = (np.random.default_rng(seed).random((users, items)) < 0.3).astype(np.float32)
    liked[-1] = 0
    return liked


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 9999), st.integers(1, 14), st.integers(1, 60))
def test_similarity_is_the_largest_cosines_of_each_user(seed, top, limit) -> None:
    liked = likes(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sparse_top, "MAX_ENTRIES", limit)
        found = user_similarity(sp.csr_matrix(liked), top)
    norm = np.linalg.norm(liked, axis=1)
    cosine = liked @ liked.T / np.maximum(np.outer(norm, norm), 1e-9)
    np.fill_diagonal(cosine, 0)
    assert found.shape == (12, 12) and np.diff(found.indptr).max(initial=0) <= top
    expected = -np.sort(-cosine)[:, : min(top, 11)]
    np.testing.assert_allclose(-np.sort(-found.toarray())[:, : min(top, 11)], expected, atol=1e-6)
    kept = found.toarray() > 0
    np.testing.assert_allclose(found.toarray()[kept], cosine[kept], rtol=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 9999), st.integers(1, 3), st.sampled_from([0.3, 1.0]), st.integers(1, 200))
def test_labels_spread_as_the_dense_formula_says(seed, layers, share, limit) -> None:
    liked = likes(seed)
    similarity = user_similarity(sp.csr_matrix(liked), 5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sparse_top, "MAX_ENTRIES", limit)
        spread = propagate_labels(
            sp.csr_matrix(liked), similarity, share=share, layers=layers, top=9
        )
    own = liked / np.maximum(liked.sum(1, keepdims=True), 1)
    mixing = similarity.toarray()
    mixing /= np.maximum(mixing.sum(1, keepdims=True), 1e-12)
    expected = own
    for _ in range(layers):
        expected = share * mixing @ expected + (1 - share) * own
    np.testing.assert_allclose(spread.toarray(), expected, atol=1e-6)


def test_only_the_largest_labels_stay() -> None:
    liked = sp.csr_matrix(likes(3))
    similarity = user_similarity(liked, 5)
    whole = propagate_labels(liked, similarity, share=0.5, layers=2, top=9).toarray()
    few = propagate_labels(liked, similarity, share=0.5, layers=1, top=2)
    assert np.diff(few.indptr).max() == 2
    once = propagate_labels(liked, similarity, share=0.5, layers=1, top=9).toarray()
    for row, values in enumerate(few.toarray()):
        np.testing.assert_allclose(np.sort(values)[-2:], np.sort(once[row])[-2:], rtol=1e-6)
    assert whole[-1].sum() == 0 and (whole > 0).sum() > (once > 0).sum()


def test_no_users_at_all() -> None:
    nobody = sp.csr_matrix((0, 4), dtype=np.float32)
    similarity = user_similarity(nobody, 3)
    assert similarity.shape == (0, 0)
    assert propagate_labels(nobody, similarity, share=0.5, layers=1, top=3).shape == (0, 4)
