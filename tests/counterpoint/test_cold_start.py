from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp

from counterpoint import columns, evaluation
from counterpoint.cold_start import warm_and_cold
from counterpoint.config import EvaluateConfig, SplitConfig
from tests.counterpoint.worlds import folded, world

SPLIT = SplitConfig(
    protocol="warm_and_cold", cold_share=0.25, valid_fraction=0.2, test_fraction=0.2
)
CONFIG = EvaluateConfig(k=5, metrics=("ndcg", "recall@10"), resamples=200)


@pytest.fixture(scope="module")
def task():
    tables = folded(world(), SPLIT)
    ids = sorted(tables.items[columns.ITEM])
    return evaluation.prepare(tables.interactions, tables.items, tables.users, item_ids=ids)


class Oracle:
    """Scores targets 1 and others 0, cold items raised by a boost."""

    def __init__(self, task, boost):
        self.task, self.boost = task, boost

    def score(self, histories):
        rows = [self.task.histories.user_ids.index(user) for user in histories.user_ids]
        cold = np.asarray(self.task.liked.sum(axis=0)).ravel() == 0
        return self.task.targets[rows].toarray() + self.boost * cold.astype(np.float32)


def measured(task, boost):
    scorer = Oracle(task, boost)
    return warm_and_cold(scorer, evaluation.judge(scorer, task, CONFIG), task, CONFIG)


def test_an_oracle_loses_nothing(task):
    found = measured(task, 0)
    for part in ("overall", "warm", "cold", "warm_barred"):
        # Places taken by the other kind's targets cost a little on either kind alone.
        assert found[part]["mean"] > 0.7
    assert found["overall"]["mean"] == pytest.approx(1)
    assert found["warm_barred"]["mean"] == pytest.approx(1)
    assert found["cold_targets"] > 0 and found["warm"]["users"] > found["cold"]["users"]


def test_boosting_new_items_costs_the_others_and_is_measured(task):
    gentle, loud = measured(task, 0), measured(task, 2)
    assert loud["warm_loss"]["relative"] > 0.9 > gentle["warm_loss"]["relative"]
    assert loud["warm_loss"]["low"] <= loud["warm_loss"]["mean"] <= loud["warm_loss"]["high"]
    assert loud["warm_loss"]["mean"] == pytest.approx(
        loud["warm_barred"]["mean"] - loud["warm"]["mean"]
    )
    assert loud["cold_recommended"] > gentle["cold_recommended"]
    assert measured(task, -2)["warm_loss"]["relative"] == 0


def test_one_kind_of_candidates_has_no_mixed_test(task):
    only_warm = replace(task, allowed=~task.held_out & (task.liked.sum(axis=0).A1 > 0))
    only_cold = replace(task, allowed=task.held_out)
    assert measured(only_warm, 0) is None
    assert measured(only_cold, 0) is None


def test_users_without_a_warm_target_give_no_loss(task):
    cold = sp.csr_matrix(task.targets.multiply(task.held_out[None, :]), dtype=bool)
    cold.eliminate_zeros()
    users = np.flatnonzero(np.diff(cold.indptr))
    part = replace(task, histories=task.histories.take(users), targets=cold[users])
    assert measured(part, 0) is None
