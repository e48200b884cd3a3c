"""NDCG@10 of every method on every protocol, drawn as one SVG."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

from benchmarks.quality.page import SHORT
from benchmarks.quality.runs import DEMO, MODEL

OWN, PEER = "#3467c4", "#b9c3d3"


def draw(results: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write the drawing: one panel a protocol, methods sorted; equal input gives equal bytes."""
    rows = max(len(result["methods"]) for result in results)
    size = (3.2 * len(results), 0.6 + 0.24 * rows)
    figure = Figure(figsize=size, layout="constrained")
    for place, result in enumerate(results):
        axes = figure.add_subplot(1, len(results), place + 1)
        ranked = sorted(result["methods"].items(), key=lambda pair: pair[1]["ndcg"])
        values = [row["ndcg"] for _, row in ranked]
        colours = [OWN if name in (MODEL, DEMO) else PEER for name, _ in ranked]
        axes.barh(range(len(ranked)), values, color=colours)
        axes.set_yticks(range(len(ranked)), [name.replace("_", " ") for name, _ in ranked])
        axes.tick_params(labelsize=7)
        axes.set_title(
            f"{SHORT[result['protocol']].partition(':')[0]}, split {result['split_seed']}",
            fontsize=9,
            loc="left",
        )
        axes.spines[["top", "right"]].set_visible(False)
    with rc_context({"svg.hashsalt": "counterpoint", "svg.fonttype": "none"}):
        figure.savefig(path, format="svg", metadata={"Date": None})
