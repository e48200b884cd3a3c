import numpy as np
import polars as pl
import pytest
from scipy.special import expit

from counterpoint import columns, evaluation
from counterpoint.config import EvaluateConfig
from counterpoint.errors import DataError
from counterpoint.monitoring.degradation import Calibration, detrended, drop
from counterpoint.monitoring.quality import (
    HITS,
    N_TARGETS,
    NDCG,
    TOP,
    TOP_SCORES,
    fold_window,
    probe_agreement,
    realised,
)
from tests.counterpoint.monitoring.stream import (
    END_OF_REFERENCE,
    ITEMS,
    Taste,
    early,
    stream,
    taken,
)


def test_a_window_is_folded_in_by_halves() -> None:
    data = stream()
    folded = fold_window(data.interactions, END_OF_REFERENCE, seed=0)
    past = folded.filter(pl.col(columns.FOLD) == "train")
    assert past[columns.TIMESTAMP].max() <= END_OF_REFERENCE
    halves = (
        folded.filter(pl.col(columns.FOLD) != "train")
        .group_by(columns.USER)
        .agg(
            (pl.col(columns.FOLD) == "test_history").sum().alias("history"),
            pl.len().alias("all"),
            pl.col(columns.TIMESTAMP)
            .filter(pl.col(columns.FOLD) == "test_history")
            .max()
            .alias("last"),
            pl.col(columns.TIMESTAMP)
            .filter(pl.col(columns.FOLD) == "test_target")
            .min()
            .alias("first"),
        )
    )
    assert (halves["history"] == halves["all"] // 2).all()
    assert (halves.drop_nulls()["last"] < halves.drop_nulls()["first"]).all()


def test_quality_of_the_reference_is_that_of_the_evaluation() -> None:
    data = early(stream())
    champion = Taste(ITEMS)
    table, _ = realised(champion, data.interactions, attributes={}, k=5, seed=0)
    task = evaluation.prepare(data.interactions, data.items, data.users, item_ids=ITEMS)
    judged = evaluation.judge(champion, task, EvaluateConfig(k=5, metrics=("ndcg",)))
    assert table[NDCG].to_numpy() == pytest.approx(judged.measured["ndcg"].per_user)
    assert taken(stream()).summary["quality"]["mean"] == pytest.approx(
        judged.measured["ndcg"].value
    )


def test_lists_hold_unseen_items_best_first_and_their_hits() -> None:
    data = early(stream())
    table, histories = realised(Taste(ITEMS), data.interactions, attributes={}, k=5, seed=0)
    for row, (top, scores) in enumerate(zip(table[TOP], table[TOP_SCORES], strict=True)):
        seen = histories.items[histories.indptr[row] : histories.indptr[row + 1]]
        assert not set(top.to_list()) & set(seen.tolist())
        assert scores.to_list() == sorted(scores.to_list(), reverse=True)
    assert (table[HITS].list.sum() <= table[N_TARGETS]).all()


def test_a_window_without_targets_says_so() -> None:
    data = early(stream())
    nothing = data.interactions.with_columns(pl.lit(False).alias(columns.POSITIVE))
    with pytest.raises(DataError, match="unseen positive"):
        realised(Taste(ITEMS), nothing, attributes={}, k=5, seed=0)


def test_the_model_of_the_reference_gives_its_lists_again_and_no_other_model_does() -> None:
    probes = taken(stream()).probes
    assert probes is not None
    assert probe_agreement(Taste(ITEMS), probes, k=5) == 1
    assert probe_agreement(Taste(ITEMS, sign=-1), probes, k=5) < 0.5
    assert probe_agreement(Taste(ITEMS[:3]), probes, k=5) == 0


def users(
    n: int, *, seed: int, targets: int = 3, slope: float = 0.1, drop: float = 0.0
) -> pl.DataFrame:
    """Per-user NDCG that grows with the number of targets."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(targets, n) + 1
    values = 0.2 + slope * np.log2(1 + counts) + rng.normal(0, 0.1, n) - drop
    return pl.DataFrame({NDCG: np.clip(values, 0, 1), N_TARGETS: counts})


def test_a_change_of_the_number_of_targets_is_no_drop() -> None:
    many, few = users(400, seed=0, targets=20), users(400, seed=1, targets=2)
    plain = 1 - few[NDCG].mean() / many[NDCG].mean()
    assert plain > 0.2
    found = drop(many, few, draws=400, confidence=0.95, seed=0)
    assert abs(found.relative) < 0.1
    assert found.p_value > 0.05


def test_a_drop_is_found_with_its_size() -> None:
    found = drop(
        users(400, seed=0), users(400, seed=1, drop=0.1), draws=400, confidence=0.95, seed=0
    )
    assert found.p_value == pytest.approx(1 / 401)
    assert found.low < found.relative < found.high
    assert found.relative == pytest.approx(0.1 / found.expected, abs=0.08)
    better = drop(
        users(400, seed=0, drop=0.1), users(400, seed=1), draws=400, confidence=0.95, seed=0
    )
    assert better.relative < 0
    assert better.p_value > 0.9


def test_p_values_of_a_drop_are_uniform_without_one() -> None:
    found = [
        drop(
            users(60, seed=seed), users(40, seed=seed + 1000), draws=99, confidence=0.9, seed=0
        ).p_value
        for seed in range(60)
    ]
    assert np.mean(np.array(found) <= 0.05) <= 0.15
    assert 0.35 < np.mean(found) < 0.65


def test_detrending_keeps_the_window_as_it_is_on_average() -> None:
    before, after = users(100, seed=0, targets=9), users(80, seed=1, targets=2)
    _, now = detrended(before, after, NDCG, N_TARGETS)
    assert now.mean() == pytest.approx(after[NDCG].mean())


def lists(n: int, *, shift: float = 0.0, seed: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(n, 5))
    hits = rng.random((n, 5)) < expit(scores - 1 + shift)
    return pl.DataFrame(
        {TOP_SCORES: scores.tolist(), HITS: hits.tolist()},
        schema={TOP_SCORES: pl.List(pl.Float64), HITS: pl.List(pl.Boolean)},
    )


def test_calibration_recovers_the_chance_of_a_hit() -> None:
    fitted = Calibration.fit(lists(4000))
    assert fitted is not None
    assert (fitted.intercept, fitted.slope) == pytest.approx((-1, 1), abs=0.1)
    assert fitted.observed_over_expected(lists(4000, seed=1)) == pytest.approx(1, abs=0.05)
    assert fitted.observed_over_expected(lists(4000, shift=-1, seed=1)) < 0.7


def test_lists_without_a_hit_cannot_be_calibrated() -> None:
    table = lists(10)
    missed = table.with_columns(pl.lit([False] * 5).alias(HITS))
    assert Calibration.fit(missed) is None


def test_places_that_hold_no_item_do_not_count() -> None:
    data = early(stream())
    wide, _ = realised(Taste(ITEMS), data.interactions, attributes={}, k=len(ITEMS), seed=0)
    assert wide[TOP_SCORES].explode().is_nan().any()
    assert Calibration.fit(wide) is not None
