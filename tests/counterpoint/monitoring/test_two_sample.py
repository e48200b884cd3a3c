import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.stats import chi2_contingency
from sklearn.linear_model import Ridge
from sklearn.metrics import roc_auc_score

from counterpoint.monitoring.two_sample import (
    _Hat,
    classifier,
    holm,
    psi,
    share_increase,
    stability,
)
from counterpoint.monitoring.units import Units

# A loaded machine is no fault of the code.
relaxed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@relaxed
@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500)), min_size=2, max_size=8))
def test_psi_is_symmetric_and_never_negative(pairs: list[tuple[int, int]]) -> None:
    left, right = np.array(pairs, dtype=float).T
    assert psi(left, right) == pytest.approx(psi(right, left))
    assert psi(left, right) >= 0
    assert psi(left, left) == 0


def test_psi_of_two_known_distributions() -> None:
    many = 1e9
    value = psi(np.array([0.5, 0.5]) * many, np.array([0.8, 0.2]) * many)
    assert value == pytest.approx(0.3 * np.log(0.8 / 0.5) - 0.3 * np.log(0.2 / 0.5), rel=1e-6)


def clustered(seed: int, *, users: int = 150, tilt: float = 0.0) -> tuple[np.ndarray, Units]:
    """Counts of users who each repeat one favourite of four bins, and their units."""
    rng = np.random.default_rng(seed)
    slices = rng.integers(-1, 4, size=users)
    table = np.zeros((users, 4))
    for user in range(users):
        taste = rng.dirichlet([0.3] * 4)
        if slices[user] < 0:
            taste = (1 - tilt) * taste + tilt * np.array([1, 0, 0, 0])
        table[user] = rng.multinomial(40, taste)
    return table, Units(np.arange(users), slices)


def test_events_that_hang_together_raise_no_alarm() -> None:
    ours, naive = [], []
    for seed in range(60):
        table, units = clustered(seed)
        found = stability({"x": sp.csr_matrix(table)}, units, draws=99, min_units=5, seed=0)["x"]
        ours.append(found.p_value)
        sides = [table[~units.current].sum(axis=0), table[units.current].sum(axis=0)]
        naive.append(chi2_contingency(np.stack(sides)).pvalue)
    # The usual test takes every event as independent and alarms nearly always.
    assert np.mean(np.array(naive) <= 0.05) > 0.8
    assert np.mean(np.array(ours) <= 0.05) <= 0.15
    assert 0.3 < np.mean(ours) < 0.7


def test_the_chance_part_of_the_index_is_taken_out() -> None:
    effects = []
    for seed in range(30):
        table, units = clustered(seed, users=60)
        found = stability({"x": sp.csr_matrix(table)}, units, draws=99, min_units=5, seed=0)["x"]
        effects.append(found.effect)
    assert abs(np.mean(effects)) < 0.05


def test_a_real_change_is_found_beside_signals_without_one() -> None:
    table, units = clustered(3, users=400, tilt=0.5)
    same, _ = clustered(3, users=400)
    found = stability(
        {"changed": sp.csr_matrix(table), "same": sp.csr_matrix(same)},
        units,
        draws=999,
        min_units=5,
        seed=0,
    )
    assert found["changed"].p_value <= 0.002
    assert found["changed"].effect > 0.1 > found["same"].effect
    assert found["same"].p_value > 0.01


def test_usual_variation_is_what_slices_of_the_reference_show() -> None:
    table, units = clustered(0, users=400)
    busy = units.slices == 2
    table[busy] = [40, 0, 0, 0]
    found = stability({"x": sp.csr_matrix(table)}, units, draws=99, min_units=5, seed=0)["x"]
    assert found.usual > 0.3
    calm, _ = clustered(0, users=400)
    quiet = stability({"x": sp.csr_matrix(calm)}, units, draws=99, min_units=5, seed=0)["x"]
    assert quiet.usual < 0.1


def test_closed_form_predictions_equal_leaving_each_unit_out() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(25, 4)).astype(np.float32)
    labels = rng.random(25) < 0.4
    hat = _Hat(vectors, components=4)
    target = labels - labels.mean()
    explicit = np.empty(25)
    centred = vectors.astype(float) - vectors.mean(axis=0)
    values = np.linalg.eigvalsh(centred.T @ centred)
    for out in range(25):
        keep = np.arange(25) != out
        model = Ridge(alpha=values.mean() * 0.1, fit_intercept=False)
        explicit[out] = model.fit(centred[keep], target[keep]).predict(centred[[out]])[0]
    assert hat.auc(labels[None])[0] == pytest.approx(roc_auc_score(labels, explicit))


def test_classifier_tells_shifted_vectors_apart_and_equal_ones_not() -> None:
    rng = np.random.default_rng(1)
    units = Units(np.arange(300), rng.integers(-1, 4, size=300))
    vectors = rng.normal(size=(300, 16)).astype(np.float32)
    same = classifier(vectors, units, draws=199, min_units=20, seed=0)
    assert 0.35 < same.effect < 0.65
    assert same.p_value > 0.02
    vectors[units.current, 0] += 2
    moved = classifier(vectors, units, draws=199, min_units=20, seed=0)
    assert moved.effect > 0.8
    assert moved.p_value == pytest.approx(1 / 200)
    assert 0.5 <= moved.usual < 0.65


def test_classifier_p_values_are_uniform_without_a_change() -> None:
    found = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        units = Units(np.arange(120), rng.integers(-1, 3, size=120))
        vectors = rng.normal(size=(120, 6)).astype(np.float32)
        found.append(classifier(vectors, units, draws=99, min_units=10, seed=0).p_value)
    assert np.mean(np.array(found) <= 0.05) <= 0.15
    assert 0.35 < np.mean(found) < 0.65


def test_share_increase_is_one_sided() -> None:
    units = Units(np.arange(200), np.repeat([-1, 0, 1, 2], 50))
    whole = np.full(200, 10.0)
    part = np.where(units.current, 5.0, 1.0)
    before, now, up = share_increase(part, whole, units, draws=199, min_units=5, seed=0)
    assert (before, now) == pytest.approx((0.1, 0.5))
    assert up.effect == pytest.approx(0.4)
    assert up.p_value == pytest.approx(1 / 200)
    _, _, down = share_increase(6 - part, whole, units, draws=199, min_units=5, seed=0)
    assert down.p_value > 0.9


def test_holm_of_the_textbook() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@relaxed
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_never_lowers_a_p_value_nor_changes_the_order(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    assert all(p <= a <= 1 for p, a in zip(p_values, adjusted, strict=True))
    assert max(adjusted) <= min(1, len(p_values) * max(p_values)) + 1e-12
    order = np.argsort(p_values, kind="stable")
    assert (np.diff(np.array(adjusted)[order]) >= 0).all()
