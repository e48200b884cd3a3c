import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoint import topk
from counterpoint.errors import QualityError
from counterpoint.histories import Histories
from counterpoint.metrics import EMPTY
from counterpoint.topk import rank, tie_priority, top_k


class Fixed:
    """Scores by user id."""

    def __init__(self, scores):
        self.scores = scores

    def score(self, histories):
        return self.scores[[int(user) for user in histories.user_ids]]


def histories(seen, n_items):
    lengths = [len(items) for items in seen]
    items = np.array([item for items in seen for item in items], dtype=np.int64)
    return Histories(
        [str(user) for user in range(len(seen))],
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        items,
        np.ones(len(items), dtype=bool),
        np.arange(len(items), dtype=np.int64),
    )


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 12))
def test_equals_a_full_sort(seed, k):
    rng = np.random.default_rng(seed)
    scores = rng.integers(-2, 3, size=(5, 9)).astype(np.float32)
    scores[rng.random(scores.shape) < 0.2] = -np.inf
    scores[rng.random(scores.shape) < 0.1] = -0.0
    priority = rng.permutation(9)
    expected = np.full((5, k), EMPTY)
    for row, values in enumerate(scores):
        order = sorted(range(9), key=lambda i: (-values[i], priority[i]))
        best = [i for i in order if values[i] > -np.inf][:k]
        expected[row, : len(best)] = best
    np.testing.assert_array_equal(top_k(scores, k=k, priority=priority), expected)


def test_seen_items_are_never_recommended_and_chunks_change_nothing(monkeypatch):
    rng = np.random.default_rng(0)
    n_items = 20
    seen = [rng.choice(n_items, size=size, replace=False).tolist() for size in (0, 3, 19, 20, 7)]
    scores = rng.integers(0, 3, size=(5, n_items)).astype(np.float32)
    whole = rank(Fixed(scores), histories(seen, n_items), n_items=n_items, k=5, seed=1)
    for items, top in zip(seen, whole, strict=True):
        assert not set(items) & set(top)
        assert (top != EMPTY).sum() == min(5, n_items - len(items))
    monkeypatch.setattr(topk, "MAX_SCORES", n_items)
    again = rank(Fixed(scores), histories(seen, n_items), n_items=n_items, k=5, seed=1)
    np.testing.assert_array_equal(again, whole)


def test_ties_do_not_favour_low_indices():
    constant = Fixed(np.zeros((1, 1000), dtype=np.float32))
    top = rank(constant, histories([[]], 1000), n_items=1000, k=50, seed=0)
    assert 300 < top.mean() < 700
    np.testing.assert_array_equal(np.sort(tie_priority(7, seed=3)), np.arange(7))


def test_wrong_scores_are_refused():
    with pytest.raises(QualityError, match=r"shape \(1, 3\); expected \(1, 4\)"):
        rank(Fixed(np.zeros((1, 3))), histories([[]], 4), n_items=4, k=1, seed=0)
    nan = np.array([[0.0, np.nan, 1.0]], dtype=np.float32)
    with pytest.raises(QualityError, match="NaN for 1 of 3 scores"):
        rank(Fixed(nan), histories([[]], 3), n_items=3, k=1, seed=0)
