import numpy as np
import pytest
import scipy.sparse as sp

from counterpoint import classification
from counterpoint.classification import MAX_POINTS, classify, sample_pairs
from counterpoint.histories import Histories


def test_known_answer():
    values = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3])
    labels = np.array([True, True, False, True, False, False, False])
    found = classify(values, labels)
    # Of the twelve (liked, not) pairs one is in the wrong order: 0.7 stands above 0.6.
    assert found.auc == pytest.approx(11 / 12)
    # tpr - fpr is 2/3 at 0.8 and 1 - 1/4 at 0.6.
    assert found.threshold == 0.6
    assert found.confusion == [[3, 1], [0, 3]]
    assert found.accuracy == pytest.approx(6 / 7)
    assert (found.fpr[0], found.tpr[0]) == (0, 0)
    assert (found.fpr[-1], found.tpr[-1]) == (1, 1)


def test_the_curve_is_short_finite_and_monotone():
    rng = np.random.default_rng(0)
    labels = rng.random(5000) < 0.5
    found = classify(rng.normal(size=5000) + labels, labels)
    assert len(found.fpr) == len(found.tpr) == len(found.thresholds) <= MAX_POINTS
    assert np.isfinite(found.thresholds).all()
    assert (np.diff(found.fpr) >= 0).all() and (np.diff(found.tpr) >= 0).all()
    assert (np.diff(found.thresholds) < 0).all()
    assert sum(map(sum, found.confusion)) == 5000


def test_one_class_alone_has_no_curve():
    assert classify(np.array([1.0, 2.0]), np.array([True, True])) is None
    assert classify(np.empty(0), np.empty(0, dtype=bool)) is None


class Oracle:
    """Scores the targets highest."""

    def __init__(self, targets):
        self.targets = targets

    def score(self, histories):
        rows = [int(user) for user in histories.user_ids]
        return self.targets[rows].toarray().astype(np.float32)


def test_pairs_are_balanced_reproducible_and_never_seen_items(monkeypatch):
    rng = np.random.default_rng(0)
    liked = rng.random((30, 40)) < 0.1
    liked[:, 0] = False
    liked[:, 1] = True
    targets = sp.csr_matrix(liked)
    # Everyone has seen item 0 only.
    batch = Histories(
        [str(u) for u in range(30)],
        np.arange(31),
        np.zeros(30, dtype=np.int64),
        np.ones(30, dtype=bool),
        np.arange(30),
    )
    values, labels = sample_pairs(Oracle(targets), batch, targets, seed=0)
    assert labels.sum() == (~labels).sum() == targets.nnz
    assert classify(values, labels).auc == pytest.approx(1)
    again, _ = sample_pairs(Oracle(targets), batch, targets, seed=0)
    np.testing.assert_array_equal(values, again)
    constant = Oracle(sp.csr_matrix(liked.shape, dtype=bool))
    assert classify(*sample_pairs(constant, batch, targets, seed=0)).auc == 0.5
    monkeypatch.setattr(classification, "MAX_USERS", 10)
    values, labels = sample_pairs(Oracle(targets), batch, targets, seed=0)
    assert 10 <= labels.sum() < targets.nnz
    assert classify(values, labels).auc == pytest.approx(1)
