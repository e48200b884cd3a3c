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
        passed: Whether it lets the candidate through; what cannot be decided does not, but for
            slices if the configuration allows it.
        detail: The figures behind it, and what to do where it failed.
        judged: False where there was too little data to decide.
        slice: The slice it is about, if it is about one.
    """

    condition: str
    passed: bool
    detail: str
    judged: bool = True
    slice: str | None = None

    @property
    def status(self) -> str:
        """``passed``, ``failed`` or ``not judged``."""
        return ("passed" if self.passed else "failed") if self.judged else "not judged"

    def __str__(self) -> str:
        status = self.status if self.passed else self.status.upper()
        return f"{status}: {self.condition}. {self.detail}"


@dataclass(frozen=True)
class Decision:
    """All conditions; the candidate is promoted if every one holds."""

    reasons: tuple[Reason, ...]

    @property
    def promote(self) -> bool:
        """Whether the candidate replaces the champion."""
        return all(reason.passed for reason in self.reasons)


@dataclass(frozen=True)
class _Advantage:
    """The model's advantage over another method, turned round where smaller is better."""

    mean: float
    low: float
    high: float
    p_corrected: float | None

    @property
    def reach(self) -> float:
        """Half the width of the interval."""
        return (self.high - self.low) / 2

    def __str__(self) -> str:
        return f"{self.mean:+.4f} ({self.low:+.4f} to {self.high:+.4f})"


def decide(evaluation: Mapping[str, Any], config: GateConfig) -> Decision:
    """Weigh an evaluation (the content of ``evaluation.json``).

    Conditions: enough test users; a finite primary metric; better than each must-beat baseline (the
    whole paired interval on the better side of zero, and a p-value that stands the correction for
    the number of methods); new items cost known ones no more than the cap; not worse than the
    champion by more than the margin, overall and on each slice (non-inferiority: the whole interval
    above minus margin times the champion's value). Figures that are missing or not a number fail
    their condition: the candidate is held.

    A slice is *not judged* if it has too few users, or if its interval is wider than its margin, so
    that even an equal model would fail; a loss that stands the correction for the number of slices
    fails anyway. All conditions must hold at once, so that many slices make promotion by chance
    less likely, not more: the non-inferiority intervals need no correction.
    """
    metric = evaluation["primary"]
    reasons = [_enough_users(evaluation, config), _finite(evaluation, metric)]
    reasons += [_beats(evaluation, baseline, metric) for baseline in config.must_beat]
    reasons += _new_items(evaluation, config)
    if CHAMPION not in evaluation["methods"]:
        none_yet = "There is no champion yet."
        reasons.append(Reason("not worse than the champion", True, none_yet))
        return Decision(tuple(reasons))
    reasons.append(_not_worse(evaluation, metric, config.champion_margin))
    parts = evaluation.get("slices", ())
    reasons += [_not_worse_on(part, evaluation, config) for part in parts]
    known = [part["name"] for part in parts]
    for name in sorted(set(config.slice_margins) - set(known)):
        none = f"gate.slice_margins names no evaluated slice ({', '.join(known) or 'none'})."
        allowed = config.unjudged_slices == "allow"
        reasons.append(Reason(f"not worse on {name}", allowed, none, False, name))
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
    found = evaluation["comparisons"].get(baseline, {}).get(metric)
    if found is None:
        known = ", ".join(sorted(evaluation["comparisons"])) or "none"
        return Reason(
            condition,
            False,
            f"{baseline} was not evaluated (evaluated: {known}). Add it to evaluate.baselines or "
            "take it out of gate.must_beat.",
        )
    advantage = _advantage(found, evaluation)
    if advantage is None or advantage.p_corrected is None:
        return Reason(condition, False, f"The difference in {metric} could not be computed.")
    level = 1 - evaluation["confidence"]
    return Reason(
        condition,
        advantage.low > 0 and advantage.p_corrected <= level,
        f"Advantage in {metric} {advantage}, corrected p {advantage.p_corrected:.4f}; the "
        f"{evaluation['confidence']:.0%} interval must lie above 0 and p be at most {level:.2g}.",
    )


def _new_items(evaluation: Mapping[str, Any], config: GateConfig) -> list[Reason]:
    """At most one condition; none where no item is new or all are."""
    found = evaluation.get("cold_start", {}).get(MODEL)
    if found is None:
        return []
    condition = "new items do not crowd out known ones"
    loss = found["warm_loss"]["relative"]
    if loss is None:
        detail = f"The {evaluation['primary']} on known items is 0 or not a number."
        return [Reason(condition, False, detail)]
    kept = loss <= config.max_warm_loss
    advice = "" if kept else " Lower the boost of new items (train.cold)."
    return [
        Reason(
            condition,
            kept,
            f"{found['cold_candidates']} candidates were liked by nobody before. They cost "
            f"{max(loss, 0.0):.1%} of the {evaluation['primary']} on all other targets; at most "
            f"{config.max_warm_loss:.1%} is allowed.{advice}",
        )
    ]


def _not_worse(evaluation: Mapping[str, Any], metric: str, margin: float) -> Reason:
    condition = "not worse than the champion"
    advantage = _advantage(evaluation["comparisons"][CHAMPION][metric], evaluation)
    value = evaluation["methods"][CHAMPION].get(metric)
    if advantage is None or value is None:
        return Reason(condition, False, f"The difference in {metric} could not be computed.")
    allowed = margin * abs(value)
    kept = advantage.low >= -allowed
    advice = ""
    if not kept and advantage.high >= 0:
        needed = _needed(evaluation["users"], advantage, allowed)
        advice = (
            f" The interval is too wide to tell{needed}: use more data, a larger "
            "features.split.test_fraction or gate.champion_margin."
        )
    return Reason(
        condition,
        kept,
        f"Advantage in {metric} {advantage}; the interval may reach down to {-allowed:+.4f} "
        f"({margin:.1%} of {value:.4f}).{advice}",
    )


def _not_worse_on(
    part: Mapping[str, Any], evaluation: Mapping[str, Any], config: GateConfig
) -> Reason:
    """Non-inferiority on one slice."""
    name = part["name"]
    condition = f"not worse on {name}"
    margin = config.slice_margins.get(name, config.slice_margin)

    def unjudged(why: str) -> Reason:
        return Reason(condition, config.unjudged_slices == "allow", why, False, name)

    if part["users"] < config.slice_min_users:
        shown = f"{part['users']} users" if part["users"] else "No users"
        return unjudged(f"{shown}; gate.slice_min_users is {config.slice_min_users}.")
    advantage = _advantage(part["comparisons"][CHAMPION], evaluation)
    value = part["methods"][CHAMPION]
    if advantage is None or value is None:
        return Reason(condition, False, "The difference could not be computed.", slice=name)
    allowed = margin * abs(value)
    figures = f"{part['users']} users, advantage {advantage}; down to {-allowed:+.4f} is allowed"
    figures = f"{figures} ({margin:.1%} of {value:.4f})."
    if advantage.low >= -allowed:
        return Reason(condition, True, figures, slice=name)
    p = advantage.p_corrected
    lost = advantage.high < 0 and p is not None and p <= 1 - evaluation["confidence"]
    if lost or advantage.reach <= allowed:
        return Reason(condition, False, figures, slice=name)
    needed = _needed(part["users"], advantage, allowed)
    return unjudged(f"{figures} The interval is too wide to tell{needed}.")


def _needed(users: int, advantage: _Advantage, allowed: float) -> str:
    """With how many users the interval would be as narrow as the margin."""
    if not allowed or advantage.reach <= allowed:
        return ""
    return f" (about {users * (advantage.reach / allowed) ** 2:,.0f} users would be needed)"


def _advantage(found: Mapping[str, Any], evaluation: Mapping[str, Any]) -> _Advantage | None:
    mean, low, high = found["mean"], found["low"], found["high"]
    if mean is None or low is None or high is None:
        return None
    if not evaluation["metrics"][evaluation["primary"]]["greater_is_better"]:
        mean, low, high = -mean, -high, -low
    return _Advantage(mean, low, high, found.get("p_corrected"))
