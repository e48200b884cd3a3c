"""The logged propensities are the probabilities of what happens."""

from collections import Counter
from itertools import permutations
from typing import Any

import numpy as np
import pytest

from serving.rules._rule import Candidates
from tests.serving import tiny
from tests.serving.rules.test_contract import candidates, row, rule

ITEMS = [1, 2, 3, 4, 8]
SCORES = [3.0, 2.6, 2.1, 1.0, 0.4]
DRAWS = 4000


def draw(trace_id: str, k: int, then: dict[str, Any] | None = None, **options: Any) -> Candidates:
    before = candidates(ITEMS, SCORES)
    context = row(k, before, trace_id)
    after, _ = rule("explore", options).rerank(before, context)
    if then is not None:
        after, _ = rule("cap", then).rerank(after, context)
    return after


def test_the_same_question_draws_the_same_list() -> None:
    one, two = draw("t", 5), draw("t", 5)
    assert one.item.tolist() == two.item.tolist()
    lists = {tuple(draw(f"t{i}", 5).item.tolist()) for i in range(50)}
    assert len(lists) > 5
    seeds = {tuple(draw("t", 5, seed=seed).item.tolist()) for seed in range(50)}
    assert len(seeds) > 5


def test_propensities_are_those_of_plackett_and_luce() -> None:
    drawn = draw("t", 5, temperature=0.7)
    score = dict(zip(ITEMS, SCORES, strict=True))
    weight = {i: np.exp(score[i] / (0.7 * np.std(SCORES))) for i in ITEMS}
    left = list(ITEMS)
    assert drawn.propensity is not None
    for item, found in zip(drawn.item.tolist(), drawn.propensity, strict=True):
        assert found == pytest.approx(weight[item] / sum(weight[i] for i in left), rel=1e-9)
        left.remove(item)


@pytest.mark.parametrize("cap", [None, {"attribute": "genre", "most": 1}])
def test_lists_occur_as_often_as_their_propensities_say(cap: dict[str, Any] | None) -> None:
    """A chi-squared statistic over all lists; its mean is the number of lists less one."""
    seen: Counter[tuple[int, ...]] = Counter()
    chance: dict[tuple[int, ...], float] = {}
    for number in range(DRAWS):
        drawn = draw(f"trace {number}", 2, cap, temperature=1.0)
        shown = tuple(drawn.item[:2].tolist())
        assert drawn.propensity is not None
        seen[shown] += 1
        chance[shown] = float(np.prod(drawn.propensity[:2]))
    possible = [pair for pair in permutations(ITEMS, 2) if cap is None or not _share_genre(*pair)]
    assert set(seen) <= set(possible)
    if cap is None:
        assert set(seen) == set(possible)
    assert sum(chance.values()) == pytest.approx(1, abs=0.01)
    statistic = sum((seen[p] - DRAWS * chance[p]) ** 2 / (DRAWS * chance[p]) for p in chance)
    freedom = len(chance) - 1
    assert statistic < freedom + 4 * np.sqrt(2 * freedom)


def test_what_is_deeper_than_the_depth_keeps_its_place() -> None:
    for number in range(20):
        drawn = draw(str(number), 5, depth=3, temperature=5)
        assert drawn.item[3:].tolist() == ITEMS[3:]
        assert drawn.propensity is not None
        assert drawn.propensity[2:].tolist() == [1, 1, 1]


def test_a_cold_temperature_changes_nothing() -> None:
    drawn = draw("t", 5, temperature=0.001)
    assert drawn.item.tolist() == ITEMS
    assert drawn.propensity is not None
    np.testing.assert_allclose(drawn.propensity, 1)


def _share_genre(one: int, other: int) -> bool:
    genres = [{t for t in tiny.ATTRIBUTES[i - 1] if t.startswith("genre=")} for i in (one, other)]
    return bool(genres[0] & genres[1])
