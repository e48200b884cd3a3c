"""The drawings of the evaluation report, as inline SVG."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from counterpoint.comparison import CHAMPION, MODEL

BETTER, WORSE, UNSURE, NEUTRAL = "#12723f", "#b3261e", "#6b7686", "#3467c4"

WIDEST = 100.0
"""Percent at which the slices' intervals are cut off: tiny values make huge relative ones."""


def methods(evaluation: Mapping[str, Any], names: Sequence[str]) -> str:
    """Bars of the primary metric of each method, with intervals."""
    metric = evaluation["primary"]
    shown = [n for n in names if evaluation["intervals"][n][metric]["mean"] is not None]
    figure, axes = _axes(len(shown))
    for place, name in enumerate(reversed(shown)):
        interval = evaluation["intervals"][name][metric]
        axes.barh(place, interval["mean"], color=NEUTRAL if name == MODEL else "#b9c3d3")
        _whisker(axes, place, interval, "#1c2430")
    axes.set_yticks(range(len(shown)), list(reversed(shown)))
    axes.set_xlabel(f"{metric}@{evaluation['k']}")
    return _svg(figure)


def advantages(evaluation: Mapping[str, Any], names: Sequence[str]) -> str:
    """Forest plot: the model's paired advantage over each other method."""
    metric = evaluation["primary"]
    rows = [(n, evaluation["comparisons"][n][metric]) for n in names if n != MODEL]
    rows = [(name, row) for name, row in rows if row["mean"] is not None]
    figure, axes = _axes(len(rows))
    sign = 1 if evaluation["metrics"][metric]["greater_is_better"] else -1
    for place, (_, row) in enumerate(reversed(rows)):
        low, high = sorted((sign * row["low"], sign * row["high"]))
        colour = BETTER if low > 0 else WORSE if high < 0 else UNSURE
        _whisker(axes, place, row, colour)
        axes.plot(row["mean"], place, "o", color=colour)
    axes.axvline(0, color="#1c2430", linewidth=0.8)
    axes.set_yticks(range(len(rows)), [f"over {name}" for name, _ in reversed(rows)])
    axes.set_xlabel(f"difference in {metric}@{evaluation['k']}, same users")
    return _svg(figure)


def slice_advantages(evaluation: Mapping[str, Any], statuses: Mapping[str, str]) -> str:
    """Forest plot: advantage over the champion on each judged slice, in percent of its value.

    Args:
        evaluation: The content of ``evaluation.json``.
        statuses: Slice -> ``passed``, ``failed`` or ``not judged``; the others are left out.

    Returns:
        SVG; empty where no slice can be drawn.
    """
    sign = 1 if evaluation["metrics"][evaluation["primary"]]["greater_is_better"] else -1
    rows = []
    for part in evaluation["slices"]:
        found = part.get("comparisons", {}).get(CHAMPION)
        value = part.get("methods", {}).get(CHAMPION)
        if part["name"] in statuses and found and found["low"] is not None and value:
            percent = {n: sign * 100 * found[n] / abs(value) for n in ("low", "mean", "high")}
            rows.append((part["name"], percent, statuses[part["name"]]))
    if not rows:
        return ""
    figure, axes = _axes(len(rows))
    colours = {"passed": BETTER, "failed": WORSE}
    for place, (_, percent, status) in enumerate(reversed(rows)):
        _whisker(axes, place, percent, colours.get(status, UNSURE))
        axes.plot(percent["mean"], place, "o", color=colours.get(status, UNSURE))
    axes.axvline(0, color="#1c2430", linewidth=0.8)
    low, high = axes.get_xlim()
    axes.set_xlim(max(low, -WIDEST), min(high, WIDEST))
    axes.set_yticks(range(len(rows)), [name for name, _, _ in reversed(rows)])
    axes.set_xlabel(f"advantage over the champion, % of its {evaluation['primary']} there")
    return _svg(figure)


def roc(classification: Mapping[str, Any]) -> str:
    """The ROC curve."""
    figure = Figure(figsize=(3.6, 3.4), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(classification["fpr"], classification["tpr"], color=NEUTRAL, linewidth=2)
    axes.plot([0, 1], [0, 1], color="#b9c3d3", linestyle="--", linewidth=1)
    axes.set_xlabel("false positive rate")
    axes.set_ylabel("true positive rate")
    axes.set_aspect("equal")
    _quiet(axes)
    return _svg(figure)


def order(evaluation: Mapping[str, Any]) -> list[str]:
    """Methods in the order of the report: model, champion, then the others, best first."""
    metric = evaluation["primary"]
    sign = 1 if evaluation["metrics"][metric]["greater_is_better"] else -1

    def worth(name: str) -> tuple[bool, bool, float, str]:
        value = evaluation["methods"][name][metric]
        return name != MODEL, name != CHAMPION, -sign * (value or 0.0), name

    return sorted(evaluation["methods"], key=worth)


def _axes(rows: int) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(7, 0.9 + 0.42 * max(rows, 1)), layout="constrained")
    axes = figure.add_subplot()
    axes.set_ylim(-0.6, max(rows, 1) - 0.4)
    axes.grid(axis="x", color="#e3e8ef", linewidth=0.8)
    axes.set_axisbelow(True)
    _quiet(axes)
    return figure, axes


def _quiet(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)


def _whisker(axes: Axes, place: int, interval: Mapping[str, float], colour: str) -> None:
    axes.plot([interval["low"], interval["high"]], [place, place], color=colour, linewidth=2)


def _svg(figure: Figure) -> str:
    """The drawing without prologue; equal input gives equal text (no date, fixed ids)."""
    buffer = io.StringIO()
    with rc_context({"svg.hashsalt": "counterpoint", "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None}, transparent=True)
    text = buffer.getvalue()
    return text[text.index("<svg") :]
