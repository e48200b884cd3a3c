"""The files of the monitoring folder: verdict, window and report."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from counterpoint import artifacts, tables
from counterpoint.config.monitor import MonitorConfig
from counterpoint.monitoring import report
from counterpoint.monitoring.alerts import Delivery
from counterpoint.monitoring.decision import Decision
from counterpoint.monitoring.reference import Reference
from counterpoint.monitoring.signal import Measurement
from counterpoint.monitoring.window import Window

SHOWN_DECISIONS = 20


def verdict(
    config: MonitorConfig,
    decision: Decision,
    measurement: Measurement,
    window: Window,
    reference: Reference,
    delivery: Delivery,
) -> dict[str, Any]:
    """Return the content of ``verdict.json``."""
    return {
        "verdict": decision.verdict,
        "wanted": decision.wanted,
        "reasons": list(decision.reasons),
        "alpha": config.alpha,
        "signals": [
            {name: value for name, value in asdict(signal).items() if name != "bins"}
            for signal in measurement.signals
        ],
        "not_measured": dict(measurement.not_measured),
        "window": {
            "start": window.start.isoformat(),
            "end": window.end.isoformat(),
            "events": window.rows,
            "users": window.users,
        },
        "reference": {
            "start": reference.summary["start"],
            "end": reference.summary["end"],
            "events": reference.summary["rows"]["events"],
            "users": reference.summary["rows"]["users"],
        },
        "alert": asdict(delivery),
    }


def write(
    monitoring: Path,
    content: Mapping[str, Any],
    measurement: Measurement,
    *,
    history: Sequence[Mapping[str, Any]],
    frames: Mapping[str, str],
) -> None:
    """Write the folder; ``verdict.json`` appears last and whole.

    Args:
        monitoring: Output folder.
        content: Of ``verdict.json``.
        measurement: Signals with their bins.
        history: Records of the audit log with this one, oldest first.
        frames: Title -> page of Evidently.
    """
    monitoring.mkdir(parents=True, exist_ok=True)
    page = report.page(
        content, measurement.signals, history=history[::-1][:SHOWN_DECISIONS], frames=frames
    )
    (monitoring / artifacts.REPORT).write_text(page, "utf-8")
    shares = {
        signal.name: [asdict(one) for one in signal.bins]
        for signal in measurement.signals
        if signal.bins
    }
    tables.write_json(monitoring / artifacts.WINDOW, content["window"] | {"shares": shares})
    unfinished = monitoring / f".{artifacts.MONITORING_VERDICT}"
    tables.write_json(unfinished, content)
    os.replace(unfinished, monitoring / artifacts.MONITORING_VERDICT)
