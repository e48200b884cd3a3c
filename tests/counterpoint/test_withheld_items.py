from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoint import baselines, columns, evaluation, examples, splits, withheld_items
from counterpoint.config import EvaluateConfig, FeaturesConfig, SplitConfig
from counterpoint.errors import DataError
from tests.counterpoint.test_splits import interactions, logs
from tests.counterpoint.worlds import folded, world

COLD = SplitConfig(protocol="cold_items", cold_share=0.25, valid_fraction=0.2, test_fraction=0.2)
MIXED = COLD.model_copy(update={"protocol": "warm_and_cold"})
BY_TIME = ("global_temporal", "per_user", "leave_last_out")


def prepared(split):
    tables = folded(world(), split)
    ids = sorted(tables.items[columns.ITEM])
    return evaluation.prepare(tables.interactions, tables.items, tables.users, item_ids=ids), ids


@settings(deadline=None)
@given(
    logs(), st.sampled_from(withheld_items.PROTOCOLS), st.sampled_from(BY_TIME), st.integers(0, 5)
)
def test_withheld_items_are_neither_fitted_nor_in_a_history(log, protocol, within, seed):
    frame = interactions(log)
    split = SplitConfig(protocol=protocol, within=within, cold_share=0.4, item_seed=seed)
    try:
        folded_ = splits.assign(frame, split)
    except DataError:
        return
    assert folded_.drop(columns.FOLD, columns.HELD_OUT).equals(frame)
    assert folded_[columns.FOLD].null_count() == 0
    kept_from_the_fit = {"test_target", withheld_items.UNUSED}
    held = folded_.filter(columns.HELD_OUT)
    assert set(held[columns.FOLD]) <= kept_from_the_fit
    for item, marks in folded_.group_by(columns.ITEM).agg(columns.HELD_OUT).iter_rows():
        assert len(set(marks)) == 1, item
    seen = {item for fold in splits.HISTORY_FOLDS.values() for item in fold}
    assert not seen & kept_from_the_fit
    if protocol == "warm_and_cold":
        by_time = splits.assign(frame, split.model_copy(update={"protocol": within}))
        warm = ~folded_[columns.HELD_OUT]
        assert folded_.filter(warm)[columns.FOLD].equals(by_time.filter(warm)[columns.FOLD])


def test_cold_items_ranks_the_withheld_items_alone():
    task, _ = prepared(COLD)
    assert task.held_out.sum() == round(36 * 0.25)
    assert not task.targets[:, ~task.held_out].nnz
    assert not task.liked[:, task.held_out].nnz
    config = EvaluateConfig(k=5, metrics=("ndcg",))
    popular = baselines.fit("popularity", task.train, n_items=len(task.item_ids), options={})
    top = evaluation.judge(popular, task, config).ranking.top
    assert task.held_out[top].all()
    everything = evaluation.judge(popular, replace(task, allowed=None), config)
    assert not task.held_out[everything.ranking.top].all()
    assert everything.measured["ndcg"].value < 0.1


def test_warm_and_cold_has_targets_of_both_kinds_and_ranks_everything():
    task, _ = prepared(MIXED)
    assert task.allowed is None
    assert task.targets[:, task.held_out].nnz and task.targets[:, ~task.held_out].nnz
    assert not task.liked[:, task.held_out].nnz


def test_features_are_made_of_the_other_items():
    for split in (COLD, MIXED):
        tables = folded(world(), split)
        drawn = examples.plain_examples(
            tables.interactions, tables.users, FeaturesConfig(split=split)
        )
        held = tables.interactions.filter(columns.HELD_OUT)[columns.ITEM].unique().to_list()
        for lists in (columns.HISTORY, columns.TARGETS):
            assert not drawn[lists].explode().is_in(held).any()


def test_the_draw_is_seeded_and_of_the_stated_size():
    frame = folded(world(), SplitConfig(protocol="per_user")).interactions
    split = SplitConfig(protocol="cold_items", cold_share=0.5)
    drawn = {
        seed: set(withheld_items.withheld(frame, split.model_copy(update={"item_seed": seed})))
        for seed in (0, 1)
    }
    assert [len(items) for items in drawn.values()] == [18, 18]
    assert drawn[0] != drawn[1]
    assert drawn[0] == set(withheld_items.withheld(frame.reverse(), split))


def test_nothing_is_withheld_without_a_test_fold():
    frame = world().interactions
    split = COLD.model_copy(update={"test_fraction": 0.0})
    whole = splits.assign(folded(world(), split).interactions.drop(columns.FOLD), split)
    assert columns.HELD_OUT not in whole.columns
    assert withheld_items.visible(frame) is frame


def test_one_item_cannot_be_withheld():
    frame = interactions([("a", "x", second, True) for second in range(9)])
    with pytest.raises(DataError, match="needs two items"):
        splits.assign(frame, SplitConfig(protocol="cold_items"))
    two = interactions([(u, i, n, True) for u in "abcd" for n, i in enumerate("xyz")])
    all_but_one = SplitConfig(protocol="cold_items", cold_share=0.99)
    assert len(withheld_items.withheld(two, all_but_one)) == 2


def test_an_item_without_events_is_no_withheld_item():
    task, ids = prepared(COLD)
    assert not task.held_out[ids.index("never met")]
    np.testing.assert_array_equal(task.allowed, task.held_out)
    assert isinstance(pl.Series(ids).dtype, pl.String)
