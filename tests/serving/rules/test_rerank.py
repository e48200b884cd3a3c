"""The rule `rerank` with a re-ranker that is known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.engine import item_table
from serving.engine.catalogue import Catalogue
from serving.rules._rule import Candidates, Judge, Row
from serving.rules.rerank import Rerank

N, LIVE = 10, 2
CATALOGUE = Catalogue(
    item_table.table([f"i{item}" for item in range(1, N + 1)]),
    np.eye(N, dtype=np.float32),
    n_graph=N - LIVE,
)
LOGITS = np.random.default_rng(2).normal(size=N + 1) * 2


def row(weight: float, depth: int, k: int = 5) -> Row:
    def ask(items, scores):
        assert len(items) == len(scores)
        assert (items <= N - LIVE).all()
        return LOGITS[items], 3.0 + LOGITS[items] / 10

    nothing = np.empty(0, dtype=np.int64)
    return Row(k, "t", nothing, nothing, CATALOGUE, 1.0, Judge(weight, depth, ask))


def candidates(items: list[int]) -> Candidates:
    item = np.array(items, dtype=np.int64)
    score = np.linspace(2.0, -1.0, len(items))
    return Candidates(item, score, score, np.arange(len(items)))


ITEMS = st.permutations(range(1, N + 1)).flatmap(lambda p: st.integers(0, N).map(lambda n: p[:n]))


@given(ITEMS, st.floats(0, 5), st.integers(1, 12))
def test_only_the_judged_move_and_only_among_themselves(items, weight: float, depth: int) -> None:
    before = candidates(items)
    after, trace = Rerank().rerank(before, row(weight, depth))
    assert set(after.item[:depth]) == set(before.item[:depth])
    np.testing.assert_array_equal(after.item[depth:], before.item[depth:])
    assert (np.diff(after.utility) <= 0).all()
    assert trace["judged"] == sum(item <= N - LIVE for item in items[:depth])
    assert dict(zip(after.item, after.score, strict=True)) == dict(
        zip(before.item, before.score, strict=True)
    )
    if after.liking is not None:
        for item, liking in zip(after.item, after.liking, strict=True):
            place = items.index(item)
            if place < depth and item <= N - LIVE:
                assert liking == pytest.approx(1 / (1 + np.exp(-LOGITS[item])))
            else:
                assert np.isnan(liking)


@given(ITEMS)
def test_a_weight_of_0_moves_nothing_and_a_great_one_sorts_by_liking(items) -> None:
    before = candidates([item for item in items if item <= N - LIVE])
    same, trace = Rerank(weight=0.0).rerank(before, row(3.0, N))
    np.testing.assert_array_equal(same.item, before.item)
    assert trace["moved"] == 0
    if len(before) > 1:
        after, _ = Rerank(weight=100.0).rerank(before, row(0.0, N))
        liked = LOGITS[after.item]
        assert (np.diff(liked) <= 0.2).all()
        assert liked[0] >= liked.max() - 0.2
