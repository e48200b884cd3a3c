import numpy as np
import pytest

from counterpoint.significance import nearest_of_best


@pytest.mark.parametrize(
    ("gain", "taken"), [(0.3, "better"), (0.0, "start"), (0.05, "start"), (-0.3, "start")]
)
def test_only_a_clear_gain_moves_away_from_the_start(gain: float, taken: str) -> None:
    rng = np.random.default_rng(0)
    base = rng.random(50)
    scores = {"start": base, "better": base + gain + 0.3 * rng.standard_normal(50)}
    scores["better"] += gain - (scores["better"] - base).mean()
    assert nearest_of_best(scores, lambda name: float(name != "start")) == taken


def test_of_equal_distances_the_better_mean_is_taken() -> None:
    scores = {name: np.full(9, value) for name, value in (("a", 0.1), ("b", 0.2), ("c", 0.2))}
    scores["a"][0] = 0.3
    assert nearest_of_best(scores, lambda name: 0.0) == "b"


def test_one_user_decides_nothing() -> None:
    scores = {"start": np.array([0.0]), "other": np.array([1.0])}
    assert nearest_of_best(scores, lambda name: float(name != "start")) == "start"


def test_a_noisy_candidate_near_the_best_does_not_replace_a_better_start() -> None:
    rng = np.random.default_rng(0)
    start = rng.random(400)
    noisy = start + 2.0 * rng.standard_normal(400)
    noisy += start.mean() - 0.01 - noisy.mean()
    scores = {"start": start, "best": start + 0.02, "noisy": noisy}
    order = {"start": 0.0, "noisy": 1.0, "best": 2.0}
    assert nearest_of_best(scores, order.__getitem__) == "best"
