"""Promote or hold: a pure function, so the same evaluation gives the same decision."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from counterpoint.comparison import CHAMPION, MODEL
from counterpoint.config.evaluate import GateConfig


@dataclass(frozen=True)
class Reason:
    """One condition of the gate.

    Attributes:
        condition: Short name, such as ``beats ease``.
        passed: Whether it holds; what cannot be decided does not hold.
        detail: The figures behind it, and what to do where it failed.
    """

    condition: str
    passed: bool
    detail: str

    def __str__(self) -> str:
        return f"{'passed' if self.passed else 'FAILED'}: {self.condition}. {self.detail}"


@dataclass(frozen=True)
class Decision:
    """All conditions; the candidate is promoted if every one holds."""

    reasons: tuple[Reason, ...]

    @property
    def promote(self) -> bool:
        """Whether the candidate replaces the champion."""
        return all(reason.passed for reason in self.reasons)


def decide(evaluation: Mapping[str, Any], config: GateConfig) -> Decision:
    """Weigh an evaluation (the content of ``evaluation.json``).

    Conditions: enough test users; a finite primary metric; better than each must-beat baseline (the
    whole paired interval on the better side of zero); not worse than the champion by more than the
    margin (non-inferiority: the whole interval above minus margin times the champion's value).
    Figures that are missing or not a number fail their condition: the candidate is held.
    """
    metric = evaluation["primary"]
    reasons = [_enough_users(evaluation, config), _finite(evaluation, metric)]
    reasons += [_beats(evaluation, baseline, metric) for baseline in config.must_beat]
    reasons.append(_not_worse(evaluation, metric, config.champion_margin))
    return Decision(tuple(reasons))


def _enough_users(evaluation: Mapping[str, Any], config: GateConfig) -> Reason:
    users = evaluation["users"]
    enough = users >= config.min_users
    advice = "" if enough else " Use more data or a larger features.split.test_fraction."
    return Reason(
        "enough test users",
        enough,
        f"{users} test users; gate.min_users is {config.min_users}.{advice}",
    )


def _finite(evaluation: Mapping[str, Any], metric: str) -> Reason:
    value = evaluation["methods"][MODEL].get(metric)
    if value is None:
        return Reason(
            f"{metric} is a number",
            False,
            f"The model's {metric} could not be computed. Look at the training curves.",
        )
    return Reason(f"{metric} is a number", True, f"{metric}@{evaluation['k']} = {value:.4f}.")


def _beats(evaluation: Mapping[str, Any], baseline: str, metric: str) -> Reason:
    condition = f"beats {baseline}"
    low, high, text = _interval(evaluation, baseline, metric)
    if low is None or high is None:
        return Reason(condition, False, text)
    return Reason(condition, low > 0, f"{text}; the whole interval must lie above 0.")


def _not_worse(evaluation: Mapping[str, Any], metric: str, margin: float) -> Reason:
    condition = "not worse than the champion"
    if CHAMPION not in evaluation["methods"]:
        return Reason(condition, True, "There is no champion yet.")
    low, high, text = _interval(evaluation, CHAMPION, metric)
    value = evaluation["methods"][CHAMPION].get(metric)
    if low is None or high is None or value is None:
        return Reason(condition, False, text)
    allowed = -margin * abs(value)
    return Reason(
        condition,
        low >= allowed,
        f"{text}; the interval may reach down to {allowed:+.4f} ({margin:.1%} of {value:.4f}).",
    )


def _interval(
    evaluation: Mapping[str, Any], other: str, metric: str
) -> tuple[float | None, float | None, str]:
    """Bounds of the model's advantage (turned, where smaller is better) and their text."""
    found = evaluation["comparisons"].get(other, {}).get(metric)
    if found is None:
        known = ", ".join(sorted(evaluation["comparisons"])) or "none"
        return (
            None,
            None,
            f"{other} was not evaluated (evaluated: {known}). Add it to evaluate.baselines or take "
            "it out of gate.must_beat.",
        )
    mean, low, high = found["mean"], found["low"], found["high"]
    if mean is None or low is None or high is None:
        return None, None, f"The difference to {other} in {metric} could not be computed."
    if not evaluation["metrics"][metric]["greater_is_better"]:
        mean, low, high = -mean, -high, -low
    level = f"{evaluation['confidence']:.0%}"
    return (
        low,
        high,
        f"Advantage in {metric} {mean:+.4f}, {level} interval {low:+.4f} to {high:+.4f}",
    )
