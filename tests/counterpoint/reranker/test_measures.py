"""Measures and baselines against other implementations of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import log_loss, roc_auc_score

from counterpoint.reranker import baselines, metrics
from counterpoint.reranker.baselines import Ratings

PAIRS = st.lists(
    st.tuples(st.integers(-5, 5), st.booleans(), st.integers(0, 3)), min_size=2, max_size=40
).filter(lambda rows: len({label for _, label, weight in rows if weight}) == 2)


@settings(max_examples=80, deadline=None)
@given(PAIRS)
def test_measures_are_those_of_scikit_learn(rows) -> None:
    score, label, weight = (np.array(column) for column in zip(*rows, strict=True))
    score, weight = score.astype(float), weight.astype(float)
    expected = roc_auc_score(label, score, sample_weight=weight)
    assert metrics.auc(score, label, weight[None])[0] == pytest.approx(expected)
    chance = 1 / (1 + np.exp(-score))
    expected = log_loss(label, chance, sample_weight=weight)
    assert metrics.log_loss(score, label, weight[None])[0] == pytest.approx(expected)


def test_users_are_what_is_resampled() -> None:
    users = np.array([7, 7, 7, 9, 9, 9])
    drawn = metrics.Resamples.draw(users, resamples=50, seed=0)
    assert drawn.n_users == 2
    assert (drawn.counts.sum(1) == 2).all()
    label = np.array([1, 0, 0, 1, 0, 0], dtype=bool)
    good = label.astype(float)
    interval = metrics.measured("auc", good, label, drawn)
    assert (interval.mean, interval.low, interval.high) == (1.0, 1.0, 1.0)
    same = metrics.compared("log_loss", good, good, label, drawn)
    assert (same.mean, same.low, same.high) == (0.0, 0.0, 0.0)


def planted(seed: int = 0) -> tuple[Ratings, Ratings]:
    rng = np.random.default_rng(seed)
    user, item = rng.normal(0, 0.5, 60), rng.normal(0, 0.7, 40)
    mine, theirs = rng.normal(0, 0.8, (60, 2)), rng.normal(0, 0.8, (40, 2))
    value = 3.5 + user[:, None] + item + mine @ theirs.T + rng.normal(0, 0.1, (60, 40))
    rows, columns = np.divmod(rng.permutation(2400), 40)
    parts = (slice(0, 1900), slice(1900, 2400))
    known, asked = (Ratings(rows[p], columns[p], value[rows[p], columns[p]]) for p in parts)
    return known, asked


def test_biases_and_factors_find_what_was_planted() -> None:
    known, asked = planted()

    def error(guess) -> float:
        return float(np.sqrt(np.mean((guess - asked.value) ** 2)))

    plain = error(np.full(len(asked.value), known.value.mean()))
    biased = error(baselines.biases(known, asked, l2=1.0))
    factors = error(baselines.factorise(known, asked, rank=2, l2=0.01, bias_l2=1.0))
    assert biased < 0.9 * plain
    assert factors < 0.3 * biased
