"""The diversity rules beside brute force from their papers' formulas."""

from itertools import combinations

import numpy as np
import pytest

from serving.rules._rule import Candidates
from tests.serving import tiny
from tests.serving.rules.test_contract import CATALOGUE, VECTORS, candidates, row, rule

ITEMS = [2, 9, 4, 11, 7, 1, 12, 6]
SCORES = [6.0, 5.5, 5.2, 4.0, 3.9, 3.1, 2.0, 0.5]


def scaled(given: Candidates) -> np.ndarray:
    return (given.score - given.score.min()) / (given.score.max() - given.score.min())


def cosines() -> np.ndarray:
    vectors = VECTORS[np.array(ITEMS) - 1].astype(np.float64)
    return vectors @ vectors.T


@pytest.mark.parametrize("weight", [0.0, 0.25, 0.5, 0.9, 1.0])
def test_mmr_is_the_greedy_of_its_formula(weight: float) -> None:
    before = candidates(ITEMS, SCORES)
    after, _ = rule("mmr", {"weight": weight}).rerank(before, row(8, before))
    similar, relevance = cosines(), scaled(before)
    taken: list[int] = []
    while len(taken) < len(ITEMS):
        left = [i for i in range(len(ITEMS)) if i not in taken]
        value = {
            i: (1 - weight) * relevance[i] - weight * max([0.0, *(similar[i, j] for j in taken)])
            for i in left
        }
        taken.append(max(left, key=lambda i: (value[i], -i)))
    assert after.item.tolist() == [ITEMS[i] for i in taken]


@pytest.mark.parametrize("weight", [0.25, 0.5, 0.9])
def test_dpp_takes_the_greatest_determinant_at_each_step(weight: float) -> None:
    before = candidates(ITEMS, SCORES)
    after, trace = rule("dpp", {"weight": weight}).rerank(before, row(8, before))
    relevance = scaled(before)
    quality = np.exp((1 - weight) / (2 * weight) * relevance)
    kernel = quality[:, None] * cosines() * quality[None]
    taken: list[int] = []
    for _ in range(trace["spanned"]):
        left = [i for i in range(len(ITEMS)) if i not in taken]
        value = {i: np.linalg.slogdet(kernel[np.ix_([*taken, i], [*taken, i])])[1] for i in left}
        taken.append(max(left, key=lambda i: value[i]))
    assert trace["spanned"] == VECTORS.shape[1]  # The rank of the similarities.
    assert after.item[: len(taken)].tolist() == [ITEMS[i] for i in taken]
    rest = [ITEMS[i] for i in range(len(ITEMS)) if i not in taken]
    assert after.item[len(taken) :].tolist() == rest


def test_dpp_finds_the_best_pair_of_equally_relevant_items() -> None:
    before = candidates(ITEMS, [1.0] * len(ITEMS))
    after, _ = rule("dpp", {"weight": 1}).rerank(before, row(2, before))
    first = ITEMS.index(int(after.item[0]))
    similar = cosines()
    pairs = [pair for pair in combinations(range(len(ITEMS)), 2) if first in pair]
    best = max(pairs, key=lambda pair: 1 - similar[pair] ** 2)
    assert {ITEMS[i] for i in best} == set(after.item[:2].tolist())


@pytest.mark.parametrize("weight", [0.0, 0.3, 0.8, 1.0])
def test_xquad_is_the_greedy_of_its_formula(weight: float) -> None:
    before = candidates(ITEMS, SCORES)
    context = row(8, before, seen=(3, 11))
    after, _ = rule("xquad", {"attribute": "genre", "weight": weight}).rerank(before, context)
    genres = [[t for t in tiny.ATTRIBUTES[i - 1] if t.startswith("genre=")] for i in range(1, 13)]
    shares: dict[str, float] = {}
    for item in (3, 11):
        for genre in genres[item - 1]:
            shares[genre] = shares.get(genre, 0) + 1 / len(genres[item - 1]) / 2
    relevance = scaled(before)
    uncovered = dict(shares)
    taken: list[int] = []
    while len(taken) < len(ITEMS):
        left = [i for i in range(len(ITEMS)) if i not in taken]
        value = {
            i: (1 - weight) * relevance[i]
            + weight * sum(uncovered.get(g, 0) * 0.5 * relevance[i] for g in genres[ITEMS[i] - 1])
            for i in left
        }
        chosen = max(left, key=lambda i: (round(value[i], 12), -i))
        taken.append(chosen)
        for genre in genres[ITEMS[chosen] - 1]:
            if genre in uncovered:
                uncovered[genre] *= 1 - 0.5 * relevance[chosen]
    assert after.item.tolist() == [ITEMS[i] for i in taken]


@pytest.mark.parametrize("most", [1, 2, 3])
def test_a_cap_keeps_the_best_items_it_can(most: int) -> None:
    before = candidates(ITEMS, SCORES)
    after, trace = rule("cap", {"attribute": "genre", "most": most}).rerank(before, row(8, before))
    shown: dict[str, int] = {}
    kept = []
    for item in ITEMS:
        genres = [t for t in tiny.ATTRIBUTES[item - 1] if t.startswith("genre=")]
        if all(shown.get(genre, 0) < most for genre in genres):
            kept.append(item)
            shown |= {genre: shown.get(genre, 0) + 1 for genre in genres}
    assert after.item.tolist() == kept
    assert max(shown.values()) <= most
    assert (trace["before"], trace["after"]) == (len(ITEMS), len(kept))


def test_equal_items_do_not_stand_together() -> None:
    """Items 7 and 8 have the same vector."""
    before = candidates([7, 8, 1, 2], [9, 8.9, 2, 1])
    for name in ("mmr", "dpp"):
        after, _ = rule(name, {"weight": 0.9}).rerank(before, row(4, before))
        assert after.item[0] == 7
        assert after.item[1] != 8
    assert CATALOGUE.similarities(np.array([7, 8]))[0, 1] == pytest.approx(1)
