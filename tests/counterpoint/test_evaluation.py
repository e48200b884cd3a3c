import math
import re

import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp

from counterpoint import baselines, columns, evaluation, evaluation_report, splits
from counterpoint.comparison import CHAMPION, MODEL, per_user_table, summarise
from counterpoint.config import EvaluateConfig, SplitConfig
from counterpoint.errors import ConfigError, DataError
from counterpoint.metrics import Ranking
from counterpoint.slices import item_attribute_slices, slices, user_attribute_slices
from tests.counterpoint.worlds import folded, world

CONFIG = EvaluateConfig(
    k=5, metrics=("ndcg", "recall@10", "coverage", "diversity", "popularity_bias"), resamples=300
)
SPLIT = SplitConfig(protocol="per_user", valid_fraction=0.2, test_fraction=0.2)


@pytest.fixture(scope="module")
def task():
    tables = folded(world(), SPLIT)
    ids = sorted(tables.items[columns.ITEM])
    return evaluation.prepare(tables.interactions, tables.items, tables.users, item_ids=ids)


@pytest.fixture(scope="module")
def judged(task):
    scorers = {
        name: baselines.fit(name, task.train, n_items=len(task.item_ids), options={})
        for name in ("ease", "popularity", "item_knn")
    }
    named = {MODEL: scorers["ease"], CHAMPION: scorers["ease"]} | scorers
    return {name: evaluation.judge(scorer, task, CONFIG) for name, scorer in named.items()}


@pytest.fixture(scope="module")
def summary(judged, task):
    return summarise(judged, task, CONFIG)


def test_the_task_folds_in_history_and_fits_on_nothing_of_the_test_fold(task):
    tables = folded(world(), SPLIT)
    test = tables.interactions.filter(pl.col(columns.FOLD).str.starts_with("test"))
    assert len(task.train.items) == len(tables.interactions) - len(test)
    assert task.histories.attributes[task.histories.user_ids.index("u0")] == ["age=25-34"]
    assert task.attributes.shape == (37, 5)
    first_targets = test.group_by(columns.USER).agg(pl.col(columns.TIMESTAMP).min())
    first = dict(first_targets.iter_rows())
    for row, user in enumerate(task.histories.user_ids):
        last = task.histories.timestamps[task.histories.indptr[row + 1] - 1]
        assert last < first[user].timestamp() * 1e6


def test_choosing_uses_the_train_fold_alone():
    tables = folded(world(), SPLIT)
    ids = sorted(tables.items[columns.ITEM])
    task = evaluation.prepare(
        tables.interactions, tables.items, tables.users, item_ids=ids, fold="valid"
    )
    assert len(task.train.items) == len(splits.fit_events(tables.interactions, "choose"))


def test_a_scorer_of_the_truth_is_perfect(task):
    class Truth:
        def score(self, histories):
            rows = [task.histories.user_ids.index(user) for user in histories.user_ids]
            return task.targets[rows].toarray().astype(np.float32)

    found = evaluation.judge(Truth(), task, CONFIG)
    assert found.measured["ndcg"].value == pytest.approx(1)
    assert found.measured["recall@10"].value == pytest.approx(1)


def test_personal_beats_popular_and_equal_is_equal(summary):
    assert summary["users"] == 58
    assert summary["candidates"] == 37
    over_popular = summary["comparisons"]["popularity"]["ndcg"]
    assert over_popular["low"] > 0
    assert over_popular["mean"] == pytest.approx(
        summary["methods"][MODEL]["ndcg"] - summary["methods"]["popularity"]["ndcg"]
    )
    same = summary["comparisons"][CHAMPION]
    assert {same["ndcg"][bound] for bound in ("mean", "low", "high")} == {0}
    assert "coverage" not in same
    assert summary["metrics"]["popularity_bias"] == {"greater_is_better": False}


def test_slices_divide_users_and_targets(summary):
    parts = {part["name"]: part for part in summary["slices"]}
    for one, other in (("new_users", "known_users"), ("short_history", "long_history")):
        assert parts[one]["users"] + parts[other]["users"] == summary["users"]
    items = ("head_items", "tail_items", "cold_items")
    assert sum(parts[name]["targets"] for name in items) == summary["targets"]
    assert "methods" not in parts["new_users"]
    assert parts["short_history"]["methods"][MODEL] == summary["methods"][MODEL]["ndcg"]


def test_slices_known_answer():
    parts = {
        part.name: part
        for part in slices(
            liked_before=np.array([0, 5, 9]),
            trained_on=np.array([False, True, True]),
            popularity=np.array([9, 9, 3, 0, 1]),
            config=EvaluateConfig(sparse_history=3, short_history=5, head_share=0.2),
        )
    }
    assert parts["cold_users"].users.tolist() == [True, False, False]
    assert not parts["sparse_users"].users.any()
    assert parts["new_users"].users.tolist() == [True, False, False]
    assert parts["long_history"].users.tolist() == [False, True, True]
    # One item would be head; the other equally liked one joins it.
    assert parts["head_items"].items.tolist() == [True, True, False, False, False]
    assert parts["tail_items"].items.tolist() == [False, False, True, False, True]
    assert parts["cold_items"].items.tolist() == [False, False, False, True, False]


def test_attribute_groups_known_answer():
    attributes = [["sex=F", "age=9"], ["sex=F"], ["sex=M"], ["sex=M", "age=9"], []]
    users = user_attribute_slices(attributes, count=9, min_users=2)
    assert [part.name for part in users] == ["user age=9", "user sex=F", "user sex=M"]
    assert users[1].users.tolist() == [True, True, False, False, False]
    assert user_attribute_slices(attributes, count=1, min_users=2)[0].name == "user age=9"
    assert user_attribute_slices(attributes, count=9, min_users=3) == []
    targets = sp.csr_matrix(np.array([[1, 0, 0], [1, 1, 0], [0, 0, 1]], dtype=bool))
    tokens = sp.csr_matrix(np.array([[1, 1], [0, 1], [1, 0]], dtype=bool))
    items = item_attribute_slices(targets, tokens, ["a", "b"], count=9, min_users=2)
    assert [part.name for part in items] == ["item a", "item b"]
    assert items[1].items.tolist() == [True, True, False]
    ranking = Ranking(np.zeros((3, 1), int), targets, np.ones(3, int), 3, tokens)
    assert items[1].cut(ranking)[0].tolist() == [0, 1]


def test_attribute_slices_are_part_of_the_summary(judged, task):
    config = CONFIG.model_copy(update={"attribute_min_users": 5, "attribute_slices": 2})
    parts = summarise(judged, task, config)["slices"]
    named = [part["name"] for part in parts if part["name"].startswith("item ")]
    assert len(named) == 2 and all("=" in name for name in named)
    none = CONFIG.model_copy(update={"attribute_slices": 0})
    assert not [p for p in summarise(judged, task, none)["slices"] if "=" in p["name"]]


def test_many_comparisons_are_corrected(summary):
    for found in summary["comparisons"].values():
        assert found["ndcg"]["p_corrected"] >= found["ndcg"]["p"]
    assert summary["comparisons"][CHAMPION]["ndcg"]["p_corrected"] == 1
    assert summary["comparisons"]["popularity"]["ndcg"]["p_corrected"] < 0.01


def test_per_user_table_holds_the_means(judged, task, summary):
    table = per_user_table(judged, task)
    assert len(table) == len(judged) * len(task.histories)
    means = table.group_by("method").agg(pl.col("ndcg").mean())
    for method, mean in means.iter_rows():
        assert mean == pytest.approx(summary["methods"][method]["ndcg"])


def test_the_report_is_self_contained_escaped_and_reproducible(summary):
    content = summary | {
        "cold_start": {},
        "classification": None,
        "config": {"note": "<script>alert(1)</script>"},
        "features": {"config": {"split": {"protocol": "per_user"}}},
        "model": None,
    }
    page = evaluation_report.page(content)
    assert page == evaluation_report.page(content)
    assert "<script>" not in page
    assert "Split: per_user" in page
    # What a browser would load; names of XML vocabularies are no addresses.
    assert not re.search(r"""(src|href)=["']?(https?:)?//|<link|@import|url\((?!#)""", page)
    assert page.count("<svg") == 2
    assert page.count("no users") == sum(not part["users"] for part in summary["slices"]) > 0
    assert "▲" in page and "corrected" in page
    assert f"{summary['methods'][MODEL]['ndcg']:.4f}" in page
    assert "| popularity |" in evaluation_report.markdown(content)


def test_what_cannot_be_computed_is_shown_as_such(task, judged):
    # No item has attributes: diversity is undefined, not zero.
    bare = evaluation.Task(
        task.histories, task.targets, task.train, task.item_ids, task.attributes[:, :0]
    )
    scorer = baselines.fit("popularity", bare.train, n_items=len(bare.item_ids), options={})
    result = summarise({MODEL: evaluation.judge(scorer, bare, CONFIG)}, bare, CONFIG)
    assert result["methods"][MODEL]["diversity"] is None
    assert result["intervals"][MODEL]["diversity"] == {
        "mean": None, "low": None, "high": None, "users": 0
    }  # fmt: skip
    assert not math.isnan(result["methods"][MODEL]["ndcg"])
    content = result | {
        "cold_start": {},
        "classification": None,
        "config": {},
        "features": None,
        "model": None,
    }
    assert "–" in evaluation_report.page(content)


def test_all_faults_of_the_configuration_are_listed():
    wrong = EvaluateConfig(
        metrics=("ndgc", "recall@0"), baselines={"eese": {}, "ease": {"l2": -1, "x": 2}}
    )
    with pytest.raises(ConfigError) as caught:
        evaluation.check(wrong)
    text = str(caught.value)
    for part in ("'ndgc'", "recall@0", "'eese'", "ease.l2", "ease.x", "Known options: l2"):
        assert part in text
    with pytest.raises(ConfigError, match="no value per user"):
        evaluation.check(EvaluateConfig(metrics=("coverage", "ndcg")))
    evaluation.check(EvaluateConfig())


def test_no_test_fold_is_a_clear_error():
    tables = folded(world(), SPLIT.model_copy(update={"test_fraction": 0.0}))
    with pytest.raises(DataError, match="test fold"):
        evaluation.prepare(
            tables.interactions, tables.items, tables.users, item_ids=["i0", "i1", "i2"]
        )
