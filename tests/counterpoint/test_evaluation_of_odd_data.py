"""Small, flat and broken data: a clear error or a right figure, never a crash or a made-up one."""

import math

import numpy as np
import pytest

from counterpoint import columns, evaluation, splits
from counterpoint.comparison import MODEL, summarise
from counterpoint.config import EvaluateConfig, SplitConfig
from counterpoint.errors import DataError, QualityError
from counterpoint.tables import Tables
from tests.counterpoint.test_splits import interactions
from tests.counterpoint.worlds import world

CONFIG = EvaluateConfig(resamples=100)
PROTOCOLS = ("global_temporal", "per_user", "leave_last_out", "cold_items", "warm_and_cold")


class Constant:
    """The same score for everything."""

    def __init__(self, value, n_items):
        self.value, self.n_items = value, n_items

    def score(self, histories):
        return np.full((len(histories), self.n_items), self.value, dtype=np.float32)


def prepared(events, ids, **split):
    folded = splits.assign(interactions(events), SplitConfig(**split))
    known = world(users=1, events=1)
    return evaluation.prepare(folded, known.items.clear(), known.users.clear(), item_ids=ids)


def evaluated(task, scorer):
    result = summarise({MODEL: evaluation.judge(scorer, task, CONFIG)}, task, CONFIG)
    for value in result["methods"][MODEL].values():
        assert value is None or math.isfinite(value)
    return result


def test_a_catalogue_of_three_items_and_longer_lists_than_items():
    events = [(f"u{n}", item, place, True) for n in range(8) for place, item in enumerate("xyz")]
    task = prepared(events, ["x", "y", "z"], protocol="leave_last_out")
    found = evaluated(task, Constant(0.0, 3))
    assert found["users"] == 8 and found["candidates"] == 3
    # One unseen item is left, and it is the target.
    assert found["methods"][MODEL]["ndcg"] == found["methods"][MODEL]["recall@20"] == 1
    assert found["methods"][MODEL]["precision"] == pytest.approx(0.1)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_users_with_one_interaction_alone_are_refused(protocol):
    events = [(f"u{n}", f"i{n % 4}", 0, True) for n in range(9)]
    frame = interactions(events)
    with pytest.raises(DataError, match=r"positive interaction|timestamp"):
        splits.assign(frame, SplitConfig(protocol=protocol))


def test_users_with_one_interaction_are_learned_from_or_judged_as_new():
    many = [(f"u{n}", item, place, True) for n in range(6) for place, item in enumerate("abcdef")]
    few = [(f"once{n}", "a", 0, True) for n in range(5)]
    by_share = prepared([*many, *few], list("abcdef"), protocol="per_user")
    assert not any(user.startswith("once") for user in by_share.histories.user_ids)
    assert "once0" in by_share.train.user_ids
    last = prepared([*many, *few], list("abcdef"), protocol="leave_last_out")
    row = last.histories.user_ids.index("once0")
    assert last.histories.indptr[row] == last.histories.indptr[row + 1]
    assert "once0" not in last.train.user_ids


def test_equal_timestamps_split_per_user_but_not_by_time():
    events = [(f"u{n}", item, 0, True) for n in range(9) for item in "abcdefgh"]
    frame = interactions(events)
    with pytest.raises(DataError, match=r"split.protocol=per_user"):
        splits.assign(frame, SplitConfig())
    with pytest.raises(DataError, match=r"split.protocol=per_user"):
        splits.assign(frame, SplitConfig(protocol="warm_and_cold", within="global_temporal"))
    for protocol in ("per_user", "leave_last_out", "cold_items", "warm_and_cold"):
        folds = splits.assign(frame, SplitConfig(protocol=protocol))[columns.FOLD]
        assert "test_target" in set(folds)


def test_ratings_that_are_all_liked_or_all_not():
    for liked in (True, False):
        events = [(f"u{n}", i, place, liked) for n in range(9) for place, i in enumerate("abcdef")]
        frame = interactions(events)
        if liked:
            task = prepared(events, list("abcdef"), protocol="per_user")
            assert evaluated(task, Constant(0.0, 6))["methods"][MODEL]["recall"] == 1
        else:
            with pytest.raises(DataError, match="another rule for positives"):
                splits.assign(frame, SplitConfig(protocol="per_user"))


def test_scores_that_are_no_numbers_are_refused_and_equal_ones_are_shuffled():
    events = [(f"u{n}", f"i{(n + 3 * k) % 40}", k, True) for n in range(30) for k in range(10)]
    ids = [f"i{n}" for n in range(40)]
    task = prepared(events, ids, protocol="per_user")
    with pytest.raises(QualityError, match="NaN"):
        evaluation.judge(Constant(np.nan, 40), task, CONFIG)
    with pytest.raises(QualityError, match=r"expected \(30, 40\)"):
        evaluation.judge(Constant(0.0, 39), task, CONFIG)
    tops = {
        seed: evaluation.judge(
            Constant(0.0, 40), task, CONFIG.model_copy(update={"seed": seed})
        ).ranking.top
        for seed in (0, 1)
    }
    assert not np.array_equal(tops[0], tops[1])


def test_a_scorer_that_refuses_every_item_gives_empty_lists():
    events = [(f"u{n}", f"i{(n + 3 * k) % 40}", k, True) for n in range(30) for k in range(10)]
    task = prepared(events, [f"i{n}" for n in range(40)], protocol="per_user")
    found = evaluated(task, Constant(-np.inf, 40))
    assert found["methods"][MODEL]["ndcg"] == found["methods"][MODEL]["coverage"] == 0
    assert found["methods"][MODEL]["novelty"] is None


def test_no_interactions_at_all():
    known = world(users=1, events=1)
    empty = Tables(known.interactions.clear(), known.items, known.users)
    for protocol in PROTOCOLS:
        with pytest.raises(DataError, match="no interactions to split"):
            splits.assign(empty.interactions, SplitConfig(protocol=protocol))
