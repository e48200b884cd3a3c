"""Figures as JSON: what is not a number becomes null, never a made-up value."""

import math
from dataclasses import asdict
from typing import Any

from counterpoint.bootstrap import Interval


def number(value: float) -> float | None:
    """A JSON number; what is not finite becomes null."""
    return float(value) if math.isfinite(value) else None


def interval_json(interval: Interval) -> dict[str, Any]:
    """An interval as JSON."""
    return {n: v if n == "users" else number(v) for n, v in asdict(interval).items()}
