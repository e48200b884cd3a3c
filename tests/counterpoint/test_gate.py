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


def with_slices(*parts):
    """Slices of (name, users, champion's value, mean, low, high) beside an equal champion."""
    evaluation = with_champion(0.3, 0.0, 0.0, 0.0)
    evaluation["slices"] = [
        {
            "name": name,
            "users": users,
            "methods": {"model": value, "champion": value},
            "comparisons": {"champion": interval(*bounds)},
        }
        if users
        else {"name": name, "users": 0}
        for name, users, value, *bounds in parts
    ]
    return evaluation


SLICES = GateConfig(slice_margin=0.1, slice_min_users=30)


@pytest.mark.parametrize(
    ("bounds", "status"),
    [
        ((0.0, -0.02, 0.02), "passed"),  # as far down as allowed: 10% of 0.2
        ((0.05, -0.01, 0.1), "passed"),
        ((-0.01, -0.021, 0.001), "failed"),  # narrow enough to tell, and too low
        ((-0.2, -0.3, -0.1), "failed"),  # wide, but a loss for certain
        ((0.0, -0.03, 0.03), "not judged"),  # an equal model could not pass
    ],
)
def test_a_slice_is_held_against_its_margin(bounds, status):
    decision = decide(with_slices(("tail_items", 100, 0.2, *bounds)), SLICES)
    reason = decision.reasons[-1]
    assert (reason.slice, reason.status) == ("tail_items", status)
    assert decision.promote is (status != "failed")


def test_a_loss_that_many_slices_explain_is_none():
    evaluation = with_slices(("tail_items", 100, 0.2, -0.03, -0.059, -0.001))
    found = evaluation["slices"][0]["comparisons"]["champion"]
    assert decide(evaluation, SLICES).reasons[-1].status == "failed"
    found["p_corrected"] = 0.3
    assert decide(evaluation, SLICES).reasons[-1].status == "not judged"


def test_slices_that_cannot_be_judged_hold_only_if_told_to():
    evaluation = with_slices(
        ("cold_users", 0, None),
        ("sparse_users", 29, 0.2, 0.0, -0.01, 0.01),
        ("new_users", 100, 0.2, 0.0, -0.04, 0.04),
    )
    decision = decide(evaluation, SLICES)
    assert decision.promote
    details = [reason.detail for reason in decision.reasons if not reason.judged]
    assert details[0].startswith("No users;") and details[1].startswith("29 users;")
    assert "about 400 users would be needed" in details[2]
    held = decide(evaluation, SLICES.model_copy(update={"unjudged_slices": "hold"}))
    assert not held.promote
    assert failed(evaluation, SLICES.model_copy(update={"unjudged_slices": "hold"})) == [
        f"not worse on {name}" for name in ("cold_users", "sparse_users", "new_users")
    ]
    assert str(held.reasons[-1]).startswith("NOT JUDGED: not worse on new_users.")


def test_a_margin_of_one_slice():
    evaluation = with_slices(
        ("head_items", 90, 0.2, -0.01, -0.03, 0.01), ("cold_items", 90, 0.2, -0.01, -0.03, 0.01)
    )
    config = SLICES.model_copy(update={"slice_margins": {"cold_items": 0.15}})
    assert failed(evaluation, config) == ["not worse on head_items"]


def test_a_margin_of_an_unknown_slice_is_not_passed_over():
    evaluation = with_slices(("head_items", 90, 0.2, 0.0, -0.01, 0.01))
    config = SLICES.model_copy(update={"slice_margins": {"haed_items": 0.15}})
    reason = decide(evaluation, config).reasons[-1]
    assert (reason.slice, reason.status) == ("haed_items", "not judged")
    assert "(head_items)" in reason.detail
    assert failed(evaluation, config.model_copy(update={"unjudged_slices": "hold"}))


def test_slices_do_not_count_without_a_champion():
    evaluation = copy.deepcopy(GOOD) | {"slices": with_slices(("tail_items", 0, None))["slices"]}
    assert len(decide(evaluation, GateConfig()).reasons) == 5


def test_a_lead_that_many_comparisons_explain_is_none():
    evaluation = copy.deepcopy(GOOD)
    evaluation["comparisons"]["item_knn"]["ndcg"]["p_corrected"] = 0.051
    assert failed(evaluation) == ["beats item_knn"]
    evaluation["comparisons"]["item_knn"]["ndcg"]["p_corrected"] = None
    assert failed(evaluation) == ["beats item_knn"]


@pytest.mark.parametrize(
    ("loss", "held"), [(-0.01, False), (0.03, False), (0.031, True), (None, True)]
)
def test_new_items_may_cost_known_ones_the_cap_only(loss, held):
    found = {"cold_candidates": 9, "warm_loss": {"relative": loss}}
    evaluation = copy.deepcopy(GOOD) | {"cold_start": {"model": found}}
    assert failed(evaluation) == (["new items do not crowd out known ones"] if held else [])
    assert not failed(copy.deepcopy(GOOD) | {"cold_start": {"model": None}})


def test_an_interval_too_wide_for_the_champion_says_how_many_users_it_takes():
    decision = decide(with_champion(0.3, 0.0, -0.006, 0.006), GateConfig(champion_margin=0.01))
    assert not decision.promote
    assert "about 400 users would be needed" in decision.reasons[-1].detail
    lost = decide(with_champion(0.3, -0.1, -0.2, -0.01), GateConfig(champion_margin=0.01))
    assert "too wide" not in lost.reasons[-1].detail
