import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from benchmarks.quality import ensemble
from counterpoint import baselines, evaluation
from counterpoint.config import EvaluateConfig, SplitConfig
from counterpoint.histories import Histories
from tests.counterpoint.worlds import folded, world


def _histories(seen: list[list[int]]) -> Histories:
    lengths = [len(items) for items in seen]
    items = np.array([item for row in seen for item in row], dtype=np.int64)
    return Histories(
        [f"u{n}" for n in range(len(seen))],
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        items,
        np.ones(len(items), dtype=bool),
        np.arange(len(items), dtype=np.int64),
    )


@given(arrays(np.float32, (2, 6), elements=st.floats(-100, 100, width=32)))
def test_z_scores_are_over_the_unseen_items(scores: np.ndarray) -> None:
    histories = _histories([[0, 1], []])
    z = ensemble.standardised(scores, histories)
    assert np.isfinite(z).all()
    for user, unseen in enumerate((slice(2, 6), slice(0, 6))):
        part = scores[user, unseen].astype(np.float64)
        if part.std() > 0.01:
            assert z[user, unseen].mean() == pytest.approx(0, abs=1e-3)
            assert z[user, unseen].std() == pytest.approx(1, abs=1e-3)


def test_a_constant_member_changes_nothing() -> None:
    z = ensemble.standardised(np.full((1, 4), 3.0, dtype=np.float32), _histories([[2]]))
    np.testing.assert_array_equal(z, 0)


def test_each_direction_of_weights_is_tried_once() -> None:
    found = ensemble.candidate_weights(3)
    directions = {tuple(np.round(np.array(w) / np.linalg.norm(w), 6)) for w in found}
    assert len(directions) == len(found) and (0.0, 0.0, 1.0) in found and (1.0,) * 3 in found


def test_the_chosen_weights_are_the_best_on_validation() -> None:
    known = folded(world(), SplitConfig(protocol="per_user"))
    ids = evaluation.candidates([], known)
    task, choose = (
        evaluation.prepare(known.interactions, known.items, known.users, item_ids=ids, fold=fold)
        for fold in ("test", "valid")
    )
    options = {"popularity": {}, "ease": {"l2": 10.0}}
    fitted, report = ensemble.fit(task, choose, options)
    best = max(record["ndcg"] for record in report["tried"])
    members = [
        baselines.fit(name, choose.train, n_items=len(ids), options=given)
        for name, given in options.items()
    ]
    config = EvaluateConfig(metrics=("ndcg",))
    fused = ensemble.Ensemble(members, list(report["weights"].values()))
    judged = evaluation.judge(fused, choose, config)
    assert judged.measured["ndcg"].value == pytest.approx(best, abs=1e-6)
    assert fitted.weights == tuple(report["weights"].values())
    equal, report = ensemble.fit(task, None, options)
    assert equal.weights == (1.0, 1.0) and report["tried"] == []
