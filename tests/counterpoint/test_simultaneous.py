import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from counterpoint import simultaneous
from counterpoint.bootstrap import mean_interval
from counterpoint.simultaneous import compare

OPTIONS = {"resamples": 1000, "confidence": 0.95, "seed": 0}


def test_intervals_agree_with_the_single_comparison():
    values = np.random.default_rng(0).normal(0.2, 1, (300, 2))
    values[:150, 1] = np.nan
    found = compare(values, **(OPTIONS | {"resamples": 8000}))
    for column in range(2):
        alone = mean_interval(values[:, column], **(OPTIONS | {"resamples": 8000}))
        assert found.mean[column] == pytest.approx(alone.mean)
        assert found.users[column] == alone.users
        bounds = (found.low[column], found.high[column])
        assert bounds == pytest.approx((alone.low, alone.high), abs=0.02)


def test_the_p_value_agrees_with_the_t_test():
    from scipy import stats

    values = np.random.default_rng(1).normal(0.1, 1, (400, 3))
    found = compare(values, **(OPTIONS | {"resamples": 8000}))
    np.testing.assert_allclose(found.p, stats.ttest_1samp(values, 0).pvalue, atol=0.02)


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10_000), st.integers(1, 12))
def test_correction_only_weakens_and_at_most_as_much_as_holm(seed, comparisons):
    rng = np.random.default_rng(seed)
    shared = rng.normal(0, 1, (60, 1))
    values = shared + rng.normal(rng.uniform(-0.4, 0.4, comparisons), 1, (60, comparisons))
    found = compare(values, **OPTIONS)
    assert (found.p_corrected >= found.p).all()
    holm = multipletests(found.p, method="holm")[1]
    assert (found.p_corrected <= holm + 0.03).all()
    order = np.argsort(found.p_corrected, kind="stable")
    assert (np.diff(found.p_corrected[order]) >= 0).all()
    if comparisons == 1:
        np.testing.assert_array_equal(found.p, found.p_corrected)


def test_false_alarms_in_a_family_stay_at_the_level():
    rng = np.random.default_rng(2)
    alone = corrected = 0
    trials = 200
    for seed in range(trials):
        values = rng.normal(0, 1, (80, 1)) + rng.normal(0, 1, (80, 10))
        values[40:, 5:] = np.nan
        found = compare(values, resamples=300, confidence=0.95, seed=seed)
        alone += bool((found.p <= 0.05).any())
        corrected += bool((found.p_corrected <= 0.05).any())
    assert alone / trials > 0.15
    assert corrected / trials < 0.1


def test_a_true_difference_among_many_is_still_found():
    rng = np.random.default_rng(3)
    values = rng.normal(0, 1, (200, 100))
    values[:, 7] += 0.5
    found = compare(values, **OPTIONS)
    assert found.p_corrected[7] <= 0.01
    assert (np.delete(found.p_corrected, 7) > 0.05).all()


def test_no_difference_few_users_and_no_users():
    values = np.full((30, 4), np.nan)
    values[:, 0] = 0.0
    values[:, 1] = 0.25
    values[: simultaneous.FEWEST - 1, 2] = 1.0
    found = compare(values, **OPTIONS)
    assert (found.low[0], found.high[0], found.p[0], found.p_corrected[0]) == (0, 0, 1, 1)
    assert found.low[1] == found.high[1] == pytest.approx(0.25)
    assert found.p_corrected[1] < 0.01
    assert found.mean[2] == 1 and found.users.tolist() == [30, 30, 4, 0]
    assert np.isnan([found.low[2], found.p[2], found.mean[3], found.p_corrected[3]]).all()
    empty = compare(np.empty((0, 2)), **OPTIONS)
    assert empty.users.tolist() == [0, 0] and np.isnan(empty.mean).all()


def test_same_seed_same_result_whatever_the_chunks(monkeypatch):
    values = np.random.default_rng(4).normal(0.1, 1, (97, 3))
    whole = compare(values, **OPTIONS)
    monkeypatch.setattr(simultaneous, "MAX_DRAWN", 500)
    chunked = compare(values, **OPTIONS)
    np.testing.assert_array_equal(whole.p_corrected, chunked.p_corrected)
    np.testing.assert_allclose(whole.low, chunked.low)


def test_bagging_many_users_keeps_the_spread(monkeypatch):
    values = np.random.default_rng(5).normal(0.1, 1, (3000, 2))
    whole = compare(values, **OPTIONS)
    monkeypatch.setattr(simultaneous, "MAX_UNITS", 300)
    bagged = compare(values, **OPTIONS)
    np.testing.assert_array_equal(whole.mean, bagged.mean)
    np.testing.assert_allclose(bagged.high - bagged.low, whole.high - whole.low, rtol=0.2)
