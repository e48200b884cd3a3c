import numpy as np
import pytest
from scipy import stats

from counterpoint import bootstrap
from counterpoint.bootstrap import mean_interval, paired_interval

OPTIONS = {"resamples": 2000, "confidence": 0.95, "seed": 0}


def test_constant_difference_has_no_spread():
    base = np.random.default_rng(0).random(50)
    interval = paired_interval(base + 0.25, base, **OPTIONS)
    assert (interval.mean, interval.low, interval.high) == pytest.approx((0.25, 0.25, 0.25))
    assert interval.users == 50


def test_agrees_with_scipy():
    values = np.random.default_rng(1).normal(0.1, 1, 200)
    ours = mean_interval(values, **(OPTIONS | {"resamples": 20_000}))
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(3)
    ).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.006)


def test_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(2)
    hits = 0
    for seed in range(200):
        found = mean_interval(rng.normal(0, 1, 60), resamples=400, confidence=0.8, seed=seed)
        hits += found.low <= 0 <= found.high
    assert 0.7 < hits / 200 < 0.9


def test_pairing_removes_the_spread_between_users():
    rng = np.random.default_rng(3)
    user = rng.normal(0, 10, 100)
    candidate, reference = user + rng.normal(0.5, 1, 100), user
    assert paired_interval(candidate, reference, **OPTIONS).low > 0
    assert mean_interval(candidate, **OPTIONS).low < mean_interval(reference, **OPTIONS).high


def test_same_seed_same_interval_whatever_the_chunks(monkeypatch):
    values = np.random.default_rng(4).random(97)
    whole = mean_interval(values, **OPTIONS)
    assert mean_interval(values, **OPTIONS) == whole
    monkeypatch.setattr(bootstrap, "MAX_DRAWN", 1000)
    assert mean_interval(values, **OPTIONS) == whole
    assert mean_interval(values, **(OPTIONS | {"seed": 1})) != whole


def test_users_without_a_value_are_left_out():
    values = np.array([1.0, np.nan, 3.0])
    assert mean_interval(values, **OPTIONS).mean == 2
    assert mean_interval(values, **OPTIONS).users == 2
    empty = mean_interval(np.full(3, np.nan), **OPTIONS)
    assert empty.users == 0
    assert np.isnan([empty.mean, empty.low, empty.high]).all()


def test_vectors_of_different_users_are_refused():
    with pytest.raises(ValueError, match="same users"):
        paired_interval(np.zeros(3), np.zeros(4), **OPTIONS)
