"""The evaluation as one self-contained HTML page and as a Markdown table."""

from collections.abc import Mapping
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from counterpoint import evaluation_figures as figures
from counterpoint.classification import CATEGORIES
from counterpoint.comparison import MODEL
from counterpoint.page_style import HEAD

LEGEND = (
    '<span class="better">▲</span> <span class="worse">▼</span>: the model is better or worse, '
    "even after correction for many comparisons; △ ▽: its interval excludes 0, but among so many "
    "comparisons that may be chance; ·: no difference shown."
)

PAGE = """<!doctype html>
<html lang="en"><title>Evaluation</title>
{{ head }}
<h1>Evaluation: {{ primary }}@{{ e.k }} {{ e.methods.model[e.primary] | figure }}</h1>
<p>{{ e.users }} test users, {{ e.targets }} targets, {{ e.candidates }} candidates each; items a
 user has met before are never recommended. Intervals: {{ "%.0f" | format(100 * e.confidence) }}%
 bootstrap over users, paired for differences.
 {%- if protocol %} Split: {{ protocol }}.{% endif %}</p>
<h2>Methods</h2>
<div class="scroll"><table><tr><th class="name">metric<th class="name">better
{% for name in order %}<th class="{{ name }}">{{ name }}{% endfor %}</tr>
{% for metric in e.metrics %}<tr><td class="name">{{ metric | depth }}
<td class="name note">{{ e.metrics[metric] | direction }}
{% for name in order %}<td class="{{ name }}">{{ e.methods[name][metric] | figure }}
{%- if metric == e.primary %}<span class="interval">
{{- e.intervals[name][metric] | bounds }}</span>{% endif %}{% endfor %}</tr>
{% endfor %}</table></div>
{{ methods_svg }}
<h2>Advantage of the model</h2>
<p>Mean difference of {{ primary }}@{{ e.k }} on the same users. {{ legend }} p is corrected for the
 {{ order | length - 1 }} comparisons of this table.</p>
{{ advantages_svg }}
<div class="scroll"><table><tr><th class="name">over<th><th>difference<th>interval<th>relative
<th>p<th>corrected p</tr>
{% for name in order if name != "model" %}{% set row = e.comparisons[name][e.primary] %}
<tr><td class="name">{{ name }}<td class="{{ row | colour }}">{{ row | arrow }}
<td class="{{ row | colour }}">{{ row.mean | signed }}
<td>{{ row | bounds }}<td>{{ row.relative | percent }}<td>{{ row.p | p }}
<td>{{ row.p_corrected | p }}</tr>{% endfor %}</table></div>
{% for name, c in e.cold_start.items() if c %}
{% if loop.first %}<h2>New items</h2>
<p>{{ c.cold_candidates }} of the candidates were liked by nobody in the training data
 ({{ c.cold_targets }} targets). They compete for the same places as all others: the warm loss is
 what {{ primary }}@{{ e.k }} on the other targets would gain if they were barred.</p>
<div class="scroll"><table><tr><th class="name"><th>all targets<th>known items<th>known items,
 new ones barred<th>warm loss<th>new items<th>share of new items in the lists</tr>{% endif %}
<tr><td class="name">{{ name }}{% for part in ("overall", "warm", "warm_barred") %}
<td>{{ c[part].mean | figure }}<span class="interval">{{ c[part] | bounds }}</span>{% endfor %}
<td>{{ c.warm_loss.relative | percent }}<span class="interval">
 {{- c.warm_loss.relative_low | percent }} to {{ c.warm_loss.relative_high | percent }}</span>
<td>{{ c.cold.mean | figure }}<span class="interval">{{ c.cold | bounds }}</span>
<td>{{ c.cold_recommended | percent_plain }}</tr>
{% if loop.last %}</table></div>{% endif %}{% endfor %}
<h2>Slices</h2>
<p>{{ primary }}@{{ e.k }}, and below each other method the advantage of the model over it with its
 interval. Item slices count only the targets in the slice; the lists are those of the whole
 catalogue. {{ legend }} Corrected for all {{ compared }} comparisons of this table.</p>
<div class="scroll"><table><tr><th class="name">slice<th class="name">meaning<th>users<th>targets
{% for name in order %}<th>{{ name }}{% endfor %}</tr>
{% for s in e.slices %}<tr><td class="name">{{ s.name }}<td class="wide">{{ s.meaning }}
{% if not s.methods %}<td class="note">no users<td>{% for name in order %}<td>{% endfor %}
{% else %}<td>{{ s.users }}<td>{{ s.targets }}{% for name in order %}
{% if name == "model" %}<td class="model">{{ s.methods[name] | figure }}
{% else %}{% set row = s.comparisons[name] %}<td>{{ s.methods[name] | figure }}
 <span class="{{ row | colour }}">{{ row | arrow }}</span><span class="interval">
{{- row.mean | signed }} ({{ row | bounds_or_few }})</span>{% endif %}
{% endfor %}{% endif %}</tr>{% endfor %}</table></div>
{% if e.baselines %}<h2>Tuning of the baselines</h2>
<p>Chosen by NDCG@10 on the validation fold, then fitted on train and validation; evaluation.json
 lists every trial.</p>
<div class="scroll"><table><tr><th class="name">baseline<th class="name">options<th>trials
<th>validation NDCG@10<th class="name">why</tr>
{% for name, b in e.baselines.items() %}<tr><td class="name">{{ name }}<td class="name">
{%- for option, value in b.options.items() %}{{ option }} {{ value }}{{ ", " if not loop.last }}
{%- else %}defaults{% endfor %}<td>{{ b.tried | length }}
<td>{{ b.tried | map(attribute="ndcg") | max | figure if b.tried else "–" }}
<td class="wide">{{ b.why }}</tr>{% endfor %}</table></div>{% endif %}
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

    level = 1 - evaluation["confidence"]

    def arrow(row: Mapping[str, Any]) -> str:
        return _arrow(row, sign, level)

    def colour(row: Mapping[str, Any]) -> str:
        return {"▲": "better", "▼": "worse"}.get(arrow(row), "note")

    def depth(metric: str) -> str:
        return metric.upper() if "@" in metric else f"{metric}@{evaluation['k']}"

    environment = Environment(autoescape=True)
    environment.filters |= {
        "figure": _figure,
        "signed": lambda v: "–" if v is None else f"{v:+.4f}",
        "percent": lambda v: "–" if v is None else f"{v:+.1%}",
        "percent_plain": lambda v: "–" if v is None else f"{v:.1%}",
        "p": lambda v: "–" if v is None else "< 0.001" if v < 0.001 else f"{v:.3f}",
        "bounds": _bounds,
        "bounds_or_few": lambda row: _bounds(row) if row["low"] is not None else "too few users",
        "arrow": arrow,
        "colour": colour,
        "depth": lambda metric: depth(metric).lower().replace("_", " "),
        "direction": lambda m: "higher" if m["greater_is_better"] else "lower",
    }
    features, model = evaluation.get("features") or {}, evaluation.get("model") or {}
    details = [("Model", model), ("Configuration", evaluation["config"]), ("Features", features)]
    return environment.from_string(PAGE).render(
        e=evaluation,
        head=Markup(HEAD),
        legend=Markup(LEGEND),
        compared=sum(len(part.get("comparisons", ())) for part in evaluation["slices"]),
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
        f"| method | {metric}@{evaluation['k']} | model minus method | interval | corrected p |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name in figures.order(evaluation):
        value = _figure(evaluation["methods"][name][metric])
        if name == MODEL:
            lines.append(f"| **{name}** | **{value}** | | | |")
            continue
        row = evaluation["comparisons"][name][metric]
        difference = "–" if row["mean"] is None else f"{row['mean']:+.4f}"
        p = "–" if row["p_corrected"] is None else f"{row['p_corrected']:.4f}"
        lines.append(f"| {name} | {value} | {difference} | {_bounds(row)} | {p} |")
    return "\n".join(lines)


def _arrow(row: Mapping[str, Any], sign: int, level: float) -> str:
    """Direction of a difference and how far it can be trusted, see LEGEND."""
    if row["low"] is None or row["high"] is None:
        return ""
    low, high = sorted((sign * row["low"], sign * row["high"]))
    if low <= 0 <= high:
        return "·"
    certain = row["p_corrected"] is not None and row["p_corrected"] <= level
    return ("▲" if certain else "△") if low > 0 else ("▼" if certain else "▽")


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _bounds(row: Mapping[str, Any]) -> str:
    if row["low"] is None or row["high"] is None:
        return "–"
    return f"{row['low']:.4f} to {row['high']:.4f}"
