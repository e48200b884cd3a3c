"""The training curves as a page for the Kubeflow UI."""

import io
from pathlib import Path
from typing import Any

from counterpoint import artifacts
from counterpoint.tables import read_json

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Training curves</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; margin: 1rem }}
svg {{ max-width: 100% }}
</style>
<h1>Training curves</h1>
<p>Loss per step of each fit, smoothed over {window} steps: <em>choose</em> learns from the train
fold and its settings are judged on validation, <em>final</em> is the model that is evaluated.</p>
{picture}</html>
"""


def curves_page(model: Path, path: str) -> None:
    """Draw ``curves.json`` of a model folder.

    Args:
        model: Model folder.
        path: HTML file to write.
    """
    curves: dict[str, dict[str, Any]] = read_json(model / artifacts.CURVES)
    picture, window = _draw(curves)
    Path(path).write_text(PAGE.format(picture=picture, window=window), "utf-8")


def _draw(curves: dict[str, dict[str, Any]]) -> tuple[str, int]:
    import numpy as np
    from matplotlib.figure import Figure

    longest = max((len(curve["total"]) for curve in curves.values()), default=0)
    window = max(1, longest // 20)
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    for name, curve in curves.items():
        losses = {"total": curve["total"]} | (curve["terms"] if len(curve["terms"]) > 1 else {})
        for term, values in losses.items():
            if len(values) >= window:
                smooth = np.convolve(values, np.ones(window) / window, mode="valid")
                axes.plot(np.arange(window, len(values) + 1), smooth, label=f"{name}: {term}")
    axes.set(xlabel="step", ylabel="loss")
    axes.legend()
    axes.grid(alpha=0.3)
    drawn = io.StringIO()
    figure.savefig(drawn, format="svg")
    return drawn.getvalue().partition("<svg")[1] + drawn.getvalue().partition("<svg")[2], window
