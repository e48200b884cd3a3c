"""What the run report says about model, quality and gate, read from the artifacts of the run.

Every section is read as it comes: a key that a later version adds is shown without a change here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from markupsafe import Markup

from counterpoint import artifacts
from counterpoint.tables import read_json

SHOWN = 12
"""Best candidates of each step that are shown at once; the others unfold."""

BAR = 100.0


@dataclass(frozen=True)
class Tried:
    """The candidates of one step of the choice.

    Attributes:
        step: Its name; empty where the records have none.
        metric: Column by which they were judged; none: they carry no number.
        columns: Names of the other columns.
        rows: Cells, and the value with the length of its bar in percent; best first.
    """

    step: str
    metric: str | None
    columns: list[str]
    rows: list[dict[str, Any]]


@dataclass(frozen=True)
class Training:
    """What the train step chose and did.

    Attributes:
        choices: Setting -> value.
        validation: Figures of the validation fold.
        tried: Candidates by step.
        skipped: What the budget did not allow.
        fits: Figures of each training run of the towers.
        objectives: Objective -> options.
        curves: The loss curves, as SVG; none if nothing was trained.
        embedding_map: The map of the items, as HTML; none if there is none.
    """

    choices: dict[str, str]
    validation: dict[str, str]
    tried: list[Tried]
    skipped: list[str]
    fits: dict[str, dict[str, str]]
    objectives: dict[str, str]
    curves: Markup | None = None
    embedding_map: Markup | None = None


@dataclass(frozen=True)
class Quality:
    """The evaluation in the primary metric.

    Attributes:
        metric: Its name.
        users: Test users.
        methods: Name, value, interval, advantage of the model, and whether that is certain.
        drawing: The methods as bars, as SVG.
    """

    metric: str
    users: int
    methods: list[dict[str, str]]
    drawing: Markup


@dataclass(frozen=True)
class Verdict:
    """The gate's decision.

    Attributes:
        promote: Whether the candidate was promoted.
        summary: One sentence.
        reasons: Condition, status and detail, those that held it first.
    """

    promote: bool
    summary: str
    reasons: list[dict[str, str]] = field(default_factory=list)


def training(folder: Path, config: Mapping[str, Any]) -> Training | None:
    """Read the newest model of a run folder; nothing before the train step is through."""
    found = _newest(folder, f"train*/model/{artifacts.MODEL}")
    if found is None:
        return None
    report = read_json(found)["report"]
    fits = {
        name: _plain(value)
        for name, value in report.items()
        if isinstance(value, dict) and "steps" in value
    }
    objectives = config.get("train", {}).get("objectives", {})
    return Training(
        _plain(report.get("choices", {})),
        _plain(report.get("validation", {})),
        tried(report.get("tried", [])),
        [str(one) for one in report.get("skipped", [])],
        fits,
        {name: shown(own) if own else "as by default" for name, own in objectives.items()},
        _inner(found.parent.parent / "curves", "<svg", "</svg>"),
        _inner(found.parent.parent / "embedding_map", "<figure", "</figure>"),
    )


def tried(records: Sequence[Mapping[str, Any]]) -> list[Tried]:
    """Group the records by their step, each with the columns its own records have."""
    steps: dict[str, list[Mapping[str, Any]]] = {}
    for record in records:
        # Records without a step belong together if they have the same keys.
        step = str(record.get("step") or "")
        metric = _metric(record)
        steps.setdefault(f"{step}\0{metric}", []).append(record)
    groups = []
    for key, own in steps.items():
        step, _, _ = key.partition("\0")
        metric = _metric(own[0])
        columns = [name for name in dict.fromkeys(n for r in own for n in r) if name != "step"]
        columns = [name for name in columns if name != metric]
        values = [float(r[metric]) for r in own] if metric else [0.0] * len(own)
        low, high = min(values), max(values)
        rows = [
            {
                "cells": [shown(r.get(name)) for name in columns],
                "value": f"{value:.4f}" if metric else "",
                "taken": r.get("taken") is True,
                "bar": 5 + (BAR - 5) * (value - low) / max(high - low, 1e-12),
            }
            for value, r in sorted(zip(values, own, strict=True), key=lambda pair: -pair[0])
        ]
        groups.append(Tried(step, metric, columns, rows))
    return groups


def quality(folder: Path) -> Quality | None:
    """Read the newest evaluation of a run folder; nothing before the evaluate step is through."""
    from counterpoint import evaluation_figures as figures

    found = _newest(folder, f"evaluate*/evaluation/{artifacts.EVALUATION}")
    if found is None:
        return None
    evaluation = read_json(found)
    metric, order = evaluation["primary"], figures.order(evaluation)
    methods = []
    for name in order:
        interval = evaluation["intervals"][name][metric]
        over = evaluation["comparisons"].get(name, {}).get(metric)
        sure = over is not None and over["low"] is not None and over["low"] > 0
        methods.append(
            {
                "name": name,
                "value": shown(evaluation["methods"][name][metric]),
                "interval": _interval(interval),
                "advantage": "" if over is None else _signed(over["mean"]),
                "advantage_interval": "" if over is None else _interval(over),
                "status": "done" if sure else "",
            }
        )
    drawing = Markup(figures.methods(evaluation, order))
    return Quality(f"{metric}@{evaluation['k']}", evaluation["users"], methods, drawing)


def verdict(folder: Path) -> Verdict | None:
    """Read the newest decision of a run folder; nothing before the gate is through."""
    found = _newest(folder, f"gate*/decision/{artifacts.DECISION}")
    if found is None:
        return None
    decision = read_json(found)
    reasons = [
        {
            "condition": str(reason["condition"]),
            "status": str(reason.get("status") or ("passed" if reason["passed"] else "failed")),
            "detail": str(reason["detail"]),
        }
        for reason in sorted(decision["reasons"], key=lambda r: bool(r["passed"]))
    ]
    spoken = "The candidate is promoted." if decision["promote"] else "The candidate is held."
    return Verdict(bool(decision["promote"]), str(decision.get("summary") or spoken), reasons)


def shown(value: Any) -> str:
    """A value as a person reads it; nested ones as ``name value`` pairs."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "–"}[value]
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {shown(inner)}" for name, inner in value.items()) or "–"
    if isinstance(value, list | tuple):
        return ", ".join(shown(inner) for inner in value) or "–"
    return str(value)


def _plain(values: Mapping[str, Any]) -> dict[str, str]:
    return {name: shown(value) for name, value in values.items()}


def _metric(record: Mapping[str, Any]) -> str | None:
    """The last number is what a candidate was judged by."""
    numbers = [
        name
        for name, value in record.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    ]
    named = [name for name in numbers if "ndcg" in name]
    return named[-1] if named else numbers[-1] if numbers else None


def _signed(value: float | None) -> str:
    return "–" if value is None else f"{value:+.4f}"


def _interval(row: Mapping[str, Any]) -> str:
    if row["low"] is None or row["high"] is None:
        return ""
    return f"{row['low']:.4f} to {row['high']:.4f}"


def _newest(folder: Path, pattern: str) -> Path | None:
    found = list(folder.glob(f"artifacts/**/{pattern}"))
    return max(found, key=lambda path: path.stat().st_mtime) if found else None


def _inner(page: Path, start: str, end: str) -> Markup | None:
    """The part of one of our own pages between two marks, such as its drawing."""
    if not page.is_file():
        return None
    text = page.read_text("utf-8")
    first, last = text.find(start), text.rfind(end)
    return Markup(text[first : last + len(end)]) if 0 <= first < last else None
