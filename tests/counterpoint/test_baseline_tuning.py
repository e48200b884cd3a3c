from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp

from counterpoint import baseline_tuning, baselines
from counterpoint.config import EvaluateConfig
from counterpoint.errors import ConfigError
from counterpoint.evaluation import Task, judge
from tests.counterpoint.baselines.toys import histories, two_tastes


@pytest.fixture(scope="module")
def task():
    """Users whose newest positive is to be found; recency decides between the two tastes."""
    rng = np.random.default_rng(1)
    lists = [[*(rng.permutation(10)[:5] + 10), *rng.permutation(10)[:3]] for _ in range(30)]
    targets = np.zeros((30, 21), dtype=bool)
    for row, one in enumerate(lists):
        targets[row, [item for item in range(10) if item not in one]] = True
    return Task(
        histories(lists),
        sp.csr_matrix(targets),
        two_tastes(),
        [f"i{n}" for n in range(21)],
        sp.csr_matrix((21, 0), dtype=bool),
    )


def test_takes_the_best_of_the_grid_and_fits_it_on_the_judged_events(task):
    test = replace(task, train=two_tastes(seed=9))
    tuned = baseline_tuning.tune("edlae_recency", task, test)
    best = max(record["ndcg"] for record in tuned.tried)
    config = EvaluateConfig(metrics=("ndcg",))
    options = tuned.options
    again = baselines.fit("edlae_recency", task.train, n_items=21, options=options)
    assert judge(again, task, config).measured["ndcg"].value == pytest.approx(best)
    expected = baselines.fit("edlae_recency", test.train, n_items=21, options=options)
    np.testing.assert_array_equal(
        tuned.scorer.score(task.histories), expected.score(task.histories)
    )
    off = [record["ndcg"] for record in tuned.tried if record["options"].get("recency") == 0]
    assert off and max(off) < best
    assert tuned.why == f"best of {len(tuned.tried)} on the validation fold"


def test_every_trial_is_what_a_fresh_fit_of_its_options_scores(task):
    """Trials that reuse a fit included; and no options are tried twice."""
    config = EvaluateConfig(metrics=("ndcg",))
    tuned = baseline_tuning.tune("slist", task, task)
    seen = set()
    for record in tuned.tried:
        section = baselines.configure("slist", record["options"])
        assert section.model_dump_json() not in seen
        seen.add(section.model_dump_json())
        fresh = baselines.fit("slist", task.train, n_items=21, options=record["options"])
        found = judge(fresh, task, config).measured["ndcg"].value
        assert found == pytest.approx(record["ndcg"])


def test_given_options_are_kept(task):
    tuned = baseline_tuning.tune("ease", task, task, options={"l2": 3.0})
    assert (tuned.options, tuned.tried) == ({"l2": 3.0}, [])
    assert tuned.why == "not tuned: there is nothing to choose"
    tuned = baseline_tuning.tune("edlae", task, task, options={"l2": 3.0})
    assert all(record["options"]["l2"] == 3.0 for record in tuned.tried)
    assert tuned.options["l2"] == 3.0


def test_a_budget_samples_the_grid_reproducibly(task):
    few = baseline_tuning.tune("item_knn", task, task, max_trials=4, seed=3)
    again = baseline_tuning.tune("item_knn", task, task, max_trials=4, seed=3)
    assert len(few.tried) <= 4
    assert [r["options"] for r in few.tried] == [r["options"] for r in again.tried]


@pytest.mark.parametrize(
    ("name", "scope", "valid", "why"),
    [
        ("ease", "none", True, "not tuned: tuning is off"),
        ("bpr", "closed_form", True, "not tuned: trained by gradient steps, which "
         "evaluate.tune_baselines=all includes"),
        ("ease", "all", False, "not tuned: the validation fold has no targets"),
        ("popularity", "all", True, "not tuned: there is nothing to choose"),
    ],
)  # fmt: skip
def test_says_why_it_did_not_tune(task, name, scope, valid, why):
    options = {"epochs": 1} if name == "bpr" else {}
    tuned = baseline_tuning.tune(name, task if valid else None, task, options=options, scope=scope)
    assert tuned.why == why
    assert tuned.options == options


def test_refuses_unknown_options(task):
    with pytest.raises(ConfigError, match="nonsense"):
        baseline_tuning.tune("ease", task, task, options={"nonsense": 1})


def test_trials_are_bounded_but_the_fit_is_not(task, monkeypatch):
    monkeypatch.setattr(baseline_tuning, "MAX_ITEMS", 5)
    tuned = baseline_tuning.tune("ease", task, task)
    assert len(tuned.scorer.frequent) == 20
    assert "max_items" not in tuned.options
