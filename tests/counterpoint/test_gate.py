import copy

import pytest

from counterpoint.config import GateConfig
from counterpoint.gate import decide


def interval(mean, low, high):
    bounds = {"mean": mean, "low": low, "high": high}
    return bounds | {"users": 100, "relative": 0.1, "p": 0.001, "p_corrected": 0.002}


GOOD = {
    "primary": "ndcg",
    "k": 10,
    "users": 100,
    "confidence": 0.95,
    "metrics": {"ndcg": {"greater_is_better": True}},
    "methods": {"model": {"ndcg": 0.3}, "popularity": {"ndcg": 0.2}, "item_knn": {"ndcg": 0.25}},
    "comparisons": {
        "popularity": {"ndcg": interval(0.1, 0.05, 0.15)},
        "item_knn": {"ndcg": interval(0.05, 0.001, 0.1)},
    },
}


def with_champion(value, *bounds):
    evaluation = copy.deepcopy(GOOD)
    evaluation["methods"]["champion"] = {"ndcg": value}
    evaluation["comparisons"]["champion"] = {"ndcg": interval(*bounds)}
    return evaluation


def failed(evaluation, config=None):
    return [r.condition for r in decide(evaluation, config or GateConfig()).reasons if not r.passed]


def test_the_first_good_model_is_promoted_with_every_reason():
    decision = decide(GOOD, GateConfig())
    assert decision.promote
    assert [reason.condition for reason in decision.reasons] == [
        "enough test users",
        "ndcg is a number",
        "beats popularity",
        "beats item_knn",
        "not worse than the champion",
    ]
    assert str(decision.reasons[2]).startswith(
        "passed: beats popularity. Advantage in ndcg +0.1000"
    )


def test_an_interval_that_touches_zero_holds():
    evaluation = copy.deepcopy(GOOD)
    evaluation["comparisons"]["item_knn"]["ndcg"]["low"] = 0.0
    assert failed(evaluation) == ["beats item_knn"]
    assert not decide(evaluation, GateConfig()).promote


@pytest.mark.parametrize(
    ("low", "promote"), [(0.001, True), (-0.0029, True), (-0.003, True), (-0.0031, False)]
)
def test_the_champion_may_be_missed_by_the_margin_only(low, promote):
    decision = decide(with_champion(0.3, 0.0, low, 0.02), GateConfig(champion_margin=0.01))
    assert decision.promote is promote


def test_too_few_users_hold():
    assert failed(GOOD, GateConfig(min_users=101)) == ["enough test users"]
    assert failed(GOOD, GateConfig(min_users=100)) == []


def test_what_is_not_a_number_holds():
    evaluation = copy.deepcopy(GOOD)
    evaluation["methods"]["model"]["ndcg"] = None
    evaluation["comparisons"]["popularity"]["ndcg"] = interval(None, None, None)
    assert failed(evaluation) == ["ndcg is a number", "beats popularity"]
    broken = with_champion(None, None, None, None)
    assert failed(broken) == ["not worse than the champion"]


def test_a_baseline_that_was_not_evaluated_holds_and_says_so():
    decision = decide(GOOD, GateConfig(must_beat=("ease",)))
    reason = next(r for r in decision.reasons if r.condition == "beats ease")
    assert not reason.passed
    assert "evaluated: item_knn, popularity" in reason.detail


def test_a_metric_where_less_is_better_is_turned_round():
    evaluation = with_champion(0.3, -0.01, -0.02, 0.002)
    evaluation["metrics"]["ndcg"]["greater_is_better"] = False
    evaluation["comparisons"]["popularity"]["ndcg"] = interval(-0.1, -0.15, -0.05)
    # Lower is better: popularity is beaten, item_knn is not, the champion is missed by 0.002.
    assert failed(evaluation) == ["beats item_knn"]
    assert failed(evaluation, GateConfig(must_beat=(), champion_margin=0.001)) == [
        "not worse than the champion"
    ]


def test_all_failures_are_listed():
    evaluation = with_champion(0.5, -0.2, -0.3, -0.1)
    evaluation["users"] = 3
    evaluation["comparisons"]["popularity"]["ndcg"] = interval(-0.1, -0.2, 0.01)
    assert failed(evaluation) == [
        "enough test users",
        "beats popularity",
        "not worse than the champion",
    ]
