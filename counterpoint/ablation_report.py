"""An ablation as a Markdown table and as one HTML page that loads nothing from elsewhere."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import Environment
from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.figure import Figure

from counterpoint.ablation_variants import shown

COLOURS = {"better": "#12723f", "worse": "#b3261e"}
UNSURE = "#6b7686"

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Ablation</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
 body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 68rem; padding: 0 1rem;
        color: #1c2430; background: #fff }
 h2 { margin-top: 2.2rem } .scroll { overflow-x: auto } svg { max-width: 100%; height: auto }
 table { border-collapse: collapse; margin: 1rem 0; font-size: .92rem }
 th, td { text-align: right; padding: .3rem .6rem; border-bottom: 1px solid #d9dee6;
          font-variant-numeric: tabular-nums; white-space: nowrap }
 td.name, th.name { text-align: left } .note { color: #5a6575 } .better { color: #12723f }
 .worse, .failed { color: #b3261e } code { font-size: .85rem; white-space: normal }
</style>
<h1>Ablation</h1>
<p>{{ intro }}</p>
{% for p in a.protocols %}<h2>{{ p.protocol }}: {{ p.users }} users, {{ p.targets }} targets</h2>
{{ drawing(p) }}
<div class="scroll"><table><tr><th class="name">variant<th>{{ metric }}<th>difference<th>interval
<th>relative<th class="name">verdict<th>seeds<th>CPU s<th>peak MB</tr>
{% for r in p.rows %}<tr><td class="name">{{ r.name }}<td>{{ value(r) }}<td>{{ shift(r) }}
<td>{{ bounds(r) }}<td>{{ relative(r) }}<td class="name {{ r.verdict }}">{{ r.verdict }}
<td>{{ r.seeds | length }}<td>{{ cost(r) }}<td>{{ memory(r) }}</tr>{% endfor %}</table></div>
{% for r in p.rows %}{% for seed, why in r.failures.items() %}
<p class="failed">{{ r.name }}, seed {{ seed }}: {{ why }}</p>{% endfor %}{% endfor %}
{% endfor %}
<h2>What each variant changes</h2>
<table>{% for r in variants %}<tr><td class="name">{{ r.name }}<td class="name">{{ r.part }}
<td class="name"><code>{{ changes(r) }}</code></tr>{% endfor %}</table>
</html>
"""


def markdown(ablation: Mapping[str, Any]) -> str:
    """Return one table per protocol."""
    lines = ["# Ablation", "", intro(ablation)]
    for protocol in ablation["protocols"]:
        lines += [
            "",
            f"## {protocol['protocol']}: {protocol['users']} users, {protocol['targets']} targets",
            "",
            f"| variant | {metric(ablation)} | difference | interval | relative | verdict | seeds "
            "| CPU s |",
            "| --- | ---: | ---: | ---: | ---: | --- | ---: | ---: |",
        ]
        lines += [
            f"| {r['name']} | {value(r)} | {shift(r)} | {bounds(r)} | {relative(r)} | "
            f"{r['verdict']} | {len(r['seeds'])} | {cost(r)} |"
            for r in protocol["rows"]
        ]
        failed = [(r["name"], *pair) for r in protocol["rows"] for pair in r["failures"].items()]
        lines += ["", *(f"- {name}, seed {seed}: {why}" for name, seed, why in failed)]
    lines += ["", "## What each variant changes", "", "| variant | part | settings |"]
    lines += ["| --- | --- | --- |"]
    lines += [f"| {r['name']} | {r['part']} | `{changes(r)}` |" for r in _variants(ablation)]
    return "\n".join([*lines, ""])


def page(ablation: Mapping[str, Any]) -> str:
    """Return the HTML page."""
    functions = (value, shift, bounds, relative, cost, memory, changes)
    return (
        Environment(autoescape=True)
        .from_string(PAGE)
        .render(
            a=ablation,
            intro=intro(ablation),
            metric=metric(ablation),
            variants=_variants(ablation),
            drawing=lambda protocol: Markup(_drawing(protocol["rows"], metric(ablation))),
            **{function.__name__: function for function in functions},
        )
    )


def intro(ablation: Mapping[str, Any]) -> str:
    """What was compared, in sentences."""
    left = ""
    if ablation["skipped"]:
        left = f" The budget ran out: {ablation['skipped']} runs are missing."
    return (
        f"Each row is the default configuration with one part changed, trained with seeds "
        f"{', '.join(map(str, ablation['seeds']))} and judged on the {ablation['fold']} fold. "
        f"Difference: variant minus default in {metric(ablation)} on the same users, "
        f"{ablation['confidence']:.0%} {ablation['intervals']}; a verdict asks for an interval "
        f"without 0 and a p-value that stands the correction for the number of variants.{left}"
    )


def metric(ablation: Mapping[str, Any]) -> str:
    """Name and depth of the compared metric."""
    name = ablation["metric"].upper()
    return name if "@" in name else f"{name}@{ablation['k']}"


def value(row: Mapping[str, Any]) -> str:
    """Mean and spread over the seeds."""
    if row["mean"] is None:
        return "–"
    return f"{row['mean']:.4f}" + ("" if row["std"] is None else f" ± {row['std']:.4f}")


def shift(row: Mapping[str, Any]) -> str:
    """Mean difference to the default."""
    return f"{row['difference']['mean']:+.4f}" if row["difference"] else ""


def bounds(row: Mapping[str, Any]) -> str:
    """Its interval."""
    found = row["difference"]
    known = found and found["low"] is not None
    return f"{found['low']:+.4f} to {found['high']:+.4f}" if known else ""


def relative(row: Mapping[str, Any]) -> str:
    """It as a share of the default's value."""
    found = row["difference"]
    return f"{found['relative']:+.1%}" if found and found["relative"] is not None else ""


def cost(row: Mapping[str, Any]) -> str:
    """CPU seconds of one fit, choices included."""
    return f"{row['cpu_seconds']:.0f}" if "cpu_seconds" in row else "–"


def memory(row: Mapping[str, Any]) -> str:
    """Peak memory of one fit."""
    return f"{row['peak_mb']:.0f}" if "peak_mb" in row else "–"


def changes(row: Mapping[str, Any]) -> str:
    """What the variant overrides."""
    return shown(row["overrides"])


def _variants(ablation: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    rows = [row for protocol in ablation["protocols"] for row in protocol["rows"]]
    return list({row["name"]: row for row in rows}.values())


def _drawing(rows: Sequence[Mapping[str, Any]], label: str) -> str:
    """Forest plot of the differences as SVG; empty without any. Equal input gives equal text."""
    shown = [row for row in reversed(rows) if bounds(row)]
    if not shown:
        return ""
    figure = Figure(figsize=(7, 0.9 + 0.32 * len(shown)), layout="constrained")
    axes = figure.add_subplot()
    for place, row in enumerate(shown):
        found, colour = row["difference"], COLOURS.get(row["verdict"], UNSURE)
        axes.plot([found["low"], found["high"]], [place, place], color=colour, linewidth=2)
        axes.plot(found["mean"], place, "o", color=colour)
    axes.axvline(0, color="#1c2430", linewidth=0.8)
    axes.set_yticks(range(len(shown)), [row["name"] for row in shown])
    axes.set_xlabel(f"variant minus default, {label}")
    axes.grid(axis="x", color="#e3e8ef", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    buffer = io.StringIO()
    with rc_context({"svg.hashsalt": "counterpoint", "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None}, transparent=True)
    text = buffer.getvalue()
    return text[text.index("<svg") :]
