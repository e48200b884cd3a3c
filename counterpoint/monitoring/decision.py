"""From signals to a verdict: thresholds, hysteresis and cool-down.

Noise must never start a retraining storm, so a window that asks for retraining only gets it if
enough windows in a row asked and the last retraining is long enough ago.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from counterpoint.config.monitor import MonitorConfig
from counterpoint.monitoring.signal import QUALITY, Measurement

Verdict = Literal["ok", "drift", "retrain", "insufficient_data"]


@dataclass(frozen=True)
class Decision:
    """What to do.

    Attributes:
        verdict: What is done.
        wanted: What the window alone asks for, before hysteresis and cool-down.
        reasons: Sentences, most important first.
    """

    verdict: Verdict
    wanted: Verdict
    reasons: tuple[str, ...]


def judge(config: MonitorConfig, measurement: Measurement) -> Decision:
    """Say what the window alone asks for."""
    drifted = measurement.drifted
    reasons = tuple(signal.reason for signal in drifted)
    if any(signal.name == QUALITY for signal in drifted):
        return Decision("retrain", "retrain", reasons)
    if len(drifted) >= config.drifts_to_retrain:
        held = [
            f"quality has not fallen enough to ask by itself: {signal.reference:.3f} expected, "
            f"{signal.current:.3f} realised"
            for signal in measurement.signals
            if signal.name == QUALITY
        ]
        return Decision("retrain", "retrain", (*reasons, *held))
    if drifted:
        return Decision("drift", "drift", reasons)
    counted = sum(signal.counted for signal in measurement.signals)
    return Decision("ok", "ok", (f"none of {counted} signals differs enough to matter",))


def restrain(
    config: MonitorConfig,
    decision: Decision,
    history: Sequence[dict[str, Any]],
    *,
    reference: str,
    window_end: datetime,
    now: datetime,
) -> Decision:
    """Hold a retraining back until enough windows asked for it and the last one is long ago.

    Args:
        config: Hysteresis and cool-down.
        decision: Of the window alone.
        history: Records of the audit log, oldest first.
        reference: Identifies the champion's reference; other champions' records do not count.
        window_end: End of the window; the same window looked at twice counts once.
        now: The present.
    """
    if decision.wanted != "retrain":
        return decision
    started = [record for record in history if record["verdict"] == "retrain"]
    if started:
        ready = datetime.fromisoformat(started[-1]["time"]) + timedelta(hours=config.cooldown_hours)
        if now < ready:
            held = f"retraining held back: the last one started {started[-1]['time']}, the next "
            return _hold(decision, f"{held}may start {ready.isoformat(timespec='seconds')}")
    asked = {window_end}
    for record in reversed(history):
        if record["reference"] != reference or record["wanted"] == "insufficient_data":
            continue
        if record["wanted"] != "retrain" and _end(record) not in asked:
            break
        asked.add(_end(record))
    if len(asked) < config.consecutive:
        return _hold(
            decision,
            f"retraining held back: {len(asked)} of {config.consecutive} windows in a row ask",
        )
    return decision


def _end(record: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(record["window_end"])


def _hold(decision: Decision, reason: str) -> Decision:
    return Decision("drift", decision.wanted, (*decision.reasons, reason))
