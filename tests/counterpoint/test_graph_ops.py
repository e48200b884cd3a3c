import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from counterpoint.graph_ops import best_items, newest


@given(st.integers(1, 3), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_only_the_newest_positive_of_an_item_is_found(rows: int, length: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    history = rng.integers(0, 5, (rows, length))
    positive = (rng.random((rows, length)) < 0.6) & (history > 0)
    found = newest(torch.from_numpy(history), torch.from_numpy(positive)).numpy()
    for row in range(rows):
        last = {int(item): place for place, item in enumerate(history[row]) if positive[row, place]}
        assert np.flatnonzero(found[row]).tolist() == sorted(last.values())


@given(
    st.integers(1, 9),
    st.lists(st.integers(0, 9), max_size=5),
    st.lists(st.integers(0, 9), max_size=5),
    st.integers(0, 2**32 - 1),
)
def test_the_best_items_are_those_of_a_sort(
    k: int, banned: list[int], allow: list[int], seed: int
) -> None:
    scores = np.random.default_rng(seed).standard_normal(9).astype(np.float32)
    padded = torch.tensor([[-np.inf, *scores.tolist()]])
    lists = [torch.tensor(items, dtype=torch.int64).reshape(1, -1) for items in (banned, allow)]
    score, item = best_items(padded, *lists, torch.tensor(k))
    open_ = set(allow) - {0} or set(range(1, 10))
    left = sorted(open_ - set(banned), key=lambda i: -scores[i - 1])[:k]
    assert item.tolist() == [left + [0] * (k - len(left))]
    np.testing.assert_array_equal(score[0, : len(left)], [scores[i - 1] for i in left])
