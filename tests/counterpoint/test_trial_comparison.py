import numpy as np
import pytest

from counterpoint.config import EvaluateConfig
from counterpoint.trial_comparison import paired, pooled
from counterpoint.trials import Trial


def trial(values: dict[str, float], seed: int | None = 0, method: str = "model") -> Trial:
    mean = float(np.mean([*values.values()]))
    return Trial(
        method, seed, {"ndcg": mean}, list(values), np.array([*values.values()]), 1, 2.0, 100.0
    )


def test_pooled_averages_seeds_then_the_evaluations_a_user_is_judged_in() -> None:
    first = [trial({"a": 0.0, "b": 1.0}), trial({"a": 1.0, "b": 1.0}, 1)]
    second = [trial({"b": 0.0, "c": 0.2}), trial({"b": 0.5, "c": 0.4}, 1)]
    assert pooled([first, second]) == pytest.approx({"a": 0.5, "b": (1.0 + 0.25) / 2, "c": 0.3})


def test_paired_gives_mean_relative_gain_and_an_interval() -> None:
    rng = np.random.default_rng(0)
    base = {f"u{n}": float(value) for n, value in enumerate(rng.random(200))}
    better = {user: value + 0.1 for user, value in base.items()}
    noisy = {user: value + float(rng.normal()) for user, value in base.items()}
    sure, unsure = paired([(better, base), (noisy, base)], EvaluateConfig(resamples=500))
    assert sure["mean"] == pytest.approx(0.1)
    assert sure["relative"] == pytest.approx(0.1 / np.mean([*base.values()]))
    assert sure["low"] == pytest.approx(0.1) and sure["high"] == pytest.approx(0.1)
    assert unsure["low"] < unsure["mean"] < unsure["high"]
    assert sure["users"] == 200 and unsure["p"] <= unsure["p_corrected"]


def test_paired_refuses_different_users() -> None:
    with pytest.raises(ValueError, match="same users"):
        paired([({"a": 1.0}, {"b": 1.0})], EvaluateConfig())
