"""The evaluation as one self-contained HTML page and as a Markdown table."""

from collections.abc import Mapping
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from counterpoint import evaluation_figures as figures
from counterpoint.classification import CATEGORIES
from counterpoint.comparison import MODEL

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Evaluation</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
 body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 68rem; padding: 0 1rem;
        color: #1c2430; background: #fff }
 h2 { margin-top: 2.2rem } .scroll { overflow-x: auto }
 table { border-collapse: collapse; margin: 1rem 0; font-size: .92rem }
 th, td { text-align: right; padding: .3rem .6rem; border-bottom: 1px solid #d9dee6;
          font-variant-numeric: tabular-nums; white-space: nowrap }
 th { vertical-align: bottom } td.name, th.name { text-align: left }
 td.model { font-weight: 600 } td.wide { text-align: left; white-space: normal }
 .interval { color: #5a6575; font-size: .82rem; font-weight: 400 }
 .better { color: #12723f } .worse { color: #b3261e } .note { color: #5a6575 }
 .side { display: flex; flex-wrap: wrap; gap: 2rem; align-items: center }
 svg { max-width: 100%; height: auto } pre { background: #f4f6f9; padding: 1rem; overflow: auto;
 max-height: 24rem; font-size: .82rem }
</style>
<h1>Evaluation: {{ primary }}@{{ e.k }} {{ e.methods.model[e.primary] | figure }}</h1>
<p>{{ e.users }} test users, {{ e.targets }} targets, {{ e.candidates }} candidates each; items a
 user has met before are never recommended. Intervals: {{ "%.0f" | format(100 * e.confidence) }}%
 paired bootstrap over users.{% if protocol %} Split: {{ protocol }}.{% endif %}</p>
<h2>Methods</h2>
<div class="scroll"><table><tr><th class="name">metric<th class="name">better
{% for name in order %}<th class="{{ name }}">{{ name }}{% endfor %}</tr>
{% for metric in e.metrics %}<tr><td class="name">{{ metric | depth }}
<td class="name note">{{ e.metrics[metric] | direction }}
{% for name in order %}<td class="{{ name }}">{{ e.methods[name][metric] | figure }}
{%- if metric == e.primary %}<br><span class="interval">
{{- e.intervals[name][metric] | bounds }}</span>{% endif %}{% endfor %}</tr>
{% endfor %}</table></div>
{{ methods_svg }}
<h2>Advantage of the model</h2>
<p>Mean difference of {{ primary }}@{{ e.k }} on the same users. A difference counts only where its
 interval does not include 0.</p>
{{ advantages_svg }}
<div class="scroll"><table><tr><th class="name">over<th>difference<th>interval<th>relative</tr>
{% for name in order if name != "model" %}{% set row = e.comparisons[name][e.primary] %}
<tr><td class="name">{{ name }}<td class="{{ row | colour }}">{{ row.mean | signed }}
<td>{{ row | bounds }}<td>{{ row.relative | percent }}</tr>{% endfor %}</table></div>
<h2>Slices</h2>
<p>{{ primary }}@{{ e.k }}. Item slices count only the targets in the slice; the lists are those of
 the whole catalogue. Green or red: the model is better or worse there, the interval excludes 0.</p>
<div class="scroll"><table><tr><th class="name">slice<th class="name">meaning<th>users<th>targets
{% for name in order %}<th>{{ name }}{% endfor %}</tr>
{% for s in e.slices %}<tr><td class="name">{{ s.name }}<td class="wide">{{ s.meaning }}
<td>{{ s.users }}<td>{{ s.targets }}{% for name in order %}
{% if not s.methods %}<td>–{% elif name == "model" %}<td>{{ s.methods[name] | figure }}
{% else %}<td class="{{ s.comparisons[name] | colour }}">{{ s.methods[name] | figure }}{% endif %}
{% endfor %}</tr>{% endfor %}</table></div>
{% if e.classification %}{% set c = e.classification %}<h2>Liked or not interacted</h2>
<p>Every target against one item drawn from those the user neither saw nor liked. AUC
 {{ c.auc | figure }}; at the best threshold {{ "%.1f" | format(100 * c.accuracy) }}% of the
 decisions are right (the threshold is chosen on the same pairs).</p>
<div class="side">{{ roc_svg }}<table><tr><th class="name">truth{% for category in categories %}
<th>decided {{ category }}{% endfor %}</tr>{% for category in categories %}<tr><td class="name">
{{ category }}{% for count in c.confusion[loop.index0] %}<td>{{ count }}{% endfor %}</tr>
{% endfor %}</table></div>{% endif %}
{% for title, text in details %}<h2>{{ title }}</h2><pre>{{ text }}</pre>{% endfor %}
</html>
"""


def page(evaluation: Mapping[str, Any]) -> str:
    """Return the HTML of an evaluation; it loads nothing from elsewhere."""
    import yaml

    order = figures.order(evaluation)
    sign = 1 if evaluation["metrics"][evaluation["primary"]]["greater_is_better"] else -1

    def colour(row: Mapping[str, Any]) -> str:
        if row["low"] is None or row["high"] is None:
            return ""
        low, high = sorted((sign * row["low"], sign * row["high"]))
        return "better" if low > 0 else "worse" if high < 0 else ""

    def depth(metric: str) -> str:
        return metric.upper() if "@" in metric else f"{metric}@{evaluation['k']}"

    environment = Environment(autoescape=True)
    environment.filters |= {
        "figure": _figure,
        "signed": lambda v: "–" if v is None else f"{v:+.4f}",
        "percent": lambda v: "–" if v is None else f"{v:+.1%}",
        "bounds": _bounds,
        "colour": colour,
        "depth": lambda metric: depth(metric).lower().replace("_", " "),
        "direction": lambda m: "higher" if m["greater_is_better"] else "lower",
    }
    features, model = evaluation.get("features") or {}, evaluation.get("model") or {}
    details = [("Model", model), ("Configuration", evaluation["config"]), ("Features", features)]
    return environment.from_string(PAGE).render(
        e=evaluation,
        primary=evaluation["primary"].partition("@")[0].upper(),
        protocol=features.get("config", {}).get("split", {}).get("protocol"),
        order=order,
        categories=CATEGORIES,
        methods_svg=Markup(figures.methods(evaluation, order)),
        advantages_svg=Markup(figures.advantages(evaluation, order)),
        roc_svg=Markup(figures.roc(evaluation["classification"]))
        if evaluation["classification"]
        else "",
        details=[(t, yaml.safe_dump(c, sort_keys=False)) for t, c in details if c],
    )


def markdown(evaluation: Mapping[str, Any]) -> str:
    """Return the comparison in the primary metric as a Markdown table."""
    metric = evaluation["primary"]
    lines = [
        f"| method | {metric}@{evaluation['k']} | model minus method | interval |",
        "| --- | --- | --- | --- |",
    ]
    for name in figures.order(evaluation):
        value = _figure(evaluation["methods"][name][metric])
        if name == MODEL:
            lines.append(f"| **{name}** | **{value}** | | |")
            continue
        row = evaluation["comparisons"][name][metric]
        difference = "–" if row["mean"] is None else f"{row['mean']:+.4f}"
        lines.append(f"| {name} | {value} | {difference} | {_bounds(row)} |")
    return "\n".join(lines)


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _bounds(row: Mapping[str, Any]) -> str:
    if row["low"] is None or row["high"] is None:
        return "–"
    return f"{row['low']:.4f} to {row['high']:.4f}"
