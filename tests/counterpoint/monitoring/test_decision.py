from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from counterpoint.config import MonitorConfig
from counterpoint.monitoring.decision import Decision, judge, restrain
from counterpoint.monitoring.signal import Measurement, Signal

NOW = datetime(2026, 11, 22, 6, tzinfo=UTC)
ASK = Decision("retrain", "retrain", ("why",))


def signal(name: str, *, drifted: bool, counted: bool = True) -> Signal:
    return Signal(
        name,
        "PSI",
        0.5,
        0.1,
        p_value=0.001,
        drifted=drifted,
        counted=counted,
        reference=0.3,
        current=0.2,
    )


@pytest.mark.parametrize(
    ("drifted", "verdict"),
    [
        ([], "ok"),
        (["items"], "drift"),
        (["items", "value"], "retrain"),
        (["quality"], "retrain"),
    ],
)
def test_what_a_window_asks_for(drifted: list[str], verdict: str) -> None:
    names = ("items", "value", "quality", "hour")
    found = Measurement(tuple(signal(name, drifted=name in drifted) for name in names))
    decided = judge(MonitorConfig(), found)
    assert (decided.verdict, decided.wanted) == (verdict, verdict)
    for name in drifted:
        assert any(reason.startswith(name) for reason in decided.reasons)


def test_the_number_of_drifts_is_a_setting() -> None:
    found = Measurement(tuple(signal(name, drifted=True) for name in ("items", "value")))
    assert judge(MonitorConfig(drifts_to_retrain=3), found).verdict == "drift"


def record(hours_ago: float, verdict: str, *, wanted: str = "", **other: Any) -> dict[str, Any]:
    moment = NOW - timedelta(hours=hours_ago)
    return {
        "time": moment.isoformat(),
        "window_end": moment.isoformat(),
        "verdict": verdict,
        "wanted": wanted or verdict,
        "reference": "r1",
    } | other


def restrained(config: MonitorConfig, history: list[dict[str, Any]], **other: Any) -> Decision:
    arguments = {"reference": "r1", "window_end": NOW, "now": NOW} | other
    return restrain(config, ASK, history, **arguments)


def test_no_second_retraining_before_the_cool_down_ends() -> None:
    config = MonitorConfig(cooldown_hours=24)
    held = restrained(config, [record(23.9, "retrain")])
    assert (held.verdict, held.wanted) == ("drift", "retrain")
    assert "held back" in held.reasons[-1]
    assert restrained(config, [record(24, "retrain")]).verdict == "retrain"


def test_the_cool_down_spans_champions() -> None:
    held = restrained(MonitorConfig(), [record(1, "retrain", reference="older")])
    assert held.verdict == "drift"


def test_a_retraining_that_was_held_back_starts_no_cool_down() -> None:
    history = [record(1, "drift", wanted="retrain")]
    assert restrained(MonitorConfig(), history).verdict == "retrain"


@pytest.mark.parametrize(
    ("history", "verdict"),
    [
        ([], "drift"),
        ([record(48, "drift", wanted="retrain")], "drift"),
        ([record(h, "drift", wanted="retrain") for h in (72, 48)], "retrain"),
        (
            [
                record(72, "drift", wanted="retrain"),
                record(60, "ok"),
                record(48, "drift", wanted="retrain"),
            ],
            "drift",
        ),
        (
            [
                record(72, "drift", wanted="retrain"),
                record(60, "insufficient_data"),
                record(48, "drift", wanted="retrain"),
            ],
            "retrain",
        ),
        ([record(h, "drift", wanted="retrain", reference="older") for h in (72, 48)], "drift"),
    ],
)
def test_as_many_windows_in_a_row_must_ask(history: list[dict[str, Any]], verdict: str) -> None:
    assert restrained(MonitorConfig(consecutive=3), history).verdict == verdict


def test_looking_at_one_window_often_does_not_count_as_many() -> None:
    history = [record(h, "drift", wanted="retrain", window_end=NOW.isoformat()) for h in (3, 2, 1)]
    assert restrained(MonitorConfig(consecutive=3), history).verdict == "drift"


@pytest.mark.parametrize("verdict", ["ok", "drift", "insufficient_data"])
def test_only_a_retraining_is_held_back(verdict: Any) -> None:
    calm = Decision(verdict, verdict, ())
    history = [record(1, "retrain")]
    found = restrain(
        MonitorConfig(consecutive=5), calm, history, reference="r1", window_end=NOW, now=NOW
    )
    assert found == calm
