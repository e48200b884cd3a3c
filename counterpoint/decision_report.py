"""The gate's decision as one self-contained HTML page and as a Markdown table."""

from collections.abc import Mapping
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from counterpoint import evaluation_figures as figures
from counterpoint.comparison import CHAMPION, MODEL
from counterpoint.gate import Decision
from counterpoint.page_style import HEAD

PAGE = """<!doctype html>
<html lang="en"><title>{{ verdict }}</title>
{{ head }}
<h1>{{ verdict }}</h1>
<div class="verdict {{ 'better' if promote else 'worse' }}">{{ summary }}</div>
<p>{{ e.users }} test users, {{ e.targets }} targets; {{ e.primary }}@{{ e.k }} of the candidate
 {{ value }}{% if champion %}, of the champion {{ champion }}{% endif %}.
 Every condition must hold. An advantage is the candidate's mean over the same users, with its
 {{ "%.0f" | format(100 * e.confidence) }}% paired bootstrap interval.</p>
{% for title, note, reasons in groups if reasons %}<h2>{{ title }}</h2>
{% if note %}<p>{{ note }}</p>{{ slices_svg }}{% endif %}
<div class="scroll"><table><tr><th class="name"><th class="name">condition
<th class="name">figures</tr>
{% for r in reasons %}
<tr><td class="name {{ colour[r.status] }}">{{ mark[r.status] }} {{ r.status }}
{%- if not r.judged and not r.passed %}, holds{% endif %}<td class="name">{{ r.condition }}
<td class="wide">{{ r.detail }}</tr>
{% endfor %}</table></div>
{% endfor %}<h2>Settings</h2><pre>{{ settings }}</pre>
</html>
"""

ORDER = ("failed", "not judged", "passed")


def page(decision: Decision, evaluation: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    """Return the HTML of a decision; it loads nothing from elsewhere.

    Args:
        decision: What was decided.
        evaluation: The content of ``evaluation.json``.
        settings: The section ``gate`` of the configuration.
    """
    import yaml

    overall = [reason for reason in decision.reasons if reason.slice is None]
    on_slices = [reason for reason in decision.reasons if reason.slice is not None]
    on_slices.sort(key=lambda reason: ORDER.index(reason.status))
    return (
        Environment(autoescape=True)
        .from_string(PAGE)
        .render(
            head=Markup(HEAD),
            e=evaluation,
            promote=decision.promote,
            verdict=verdict(decision),
            summary=summary(decision),
            value=_value(evaluation, MODEL),
            champion=CHAMPION in evaluation["methods"] and _value(evaluation, CHAMPION),
            groups=[
                ("Conditions", "", overall),
                (
                    "Slices",
                    "Not worse than the champion on any part of the users and items. A slice is "
                    "not judged where it has too few users, or where the interval is so wide that "
                    "even an equal model could not pass.",
                    on_slices,
                ),
            ],
            slices_svg=Markup(
                figures.slice_advantages(
                    evaluation, {r.slice: r.status for r in on_slices if r.slice is not None}
                )
            )
            if on_slices
            else "",
            mark={"passed": "✓", "failed": "✗", "not judged": "–"},
            colour={"passed": "better", "failed": "worse", "not judged": "note"},
            settings=yaml.safe_dump(dict(settings), sort_keys=False),
        )
    )


def markdown(decision: Decision) -> str:
    """Return the decision as a Markdown page."""
    rows = [
        f"| {'**failed**' if r.status == 'failed' else r.status} | {r.condition} | {r.detail} |"
        for r in decision.reasons
    ]
    head = [f"# {verdict(decision)}", "", summary(decision), ""]
    return "\n".join([*head, "| | condition | figures |", "| --- | --- | --- |", *rows, ""])


def verdict(decision: Decision) -> str:
    """The decision in three words."""
    return "Promote the candidate" if decision.promote else "Hold the candidate"


def summary(decision: Decision) -> str:
    """One sentence: how many conditions hold, and which do not."""
    blocking = [reason.condition for reason in decision.reasons if not reason.passed]
    passed = sum(reason.status == "passed" for reason in decision.reasons)
    unjudged = sum(not reason.judged for reason in decision.reasons)
    counted = f"{passed} of {len(decision.reasons) - unjudged} conditions hold"
    if unjudged:
        counted += f", {unjudged} could not be judged"
    return f"{counted}. Against it: {'; '.join(blocking)}." if blocking else f"{counted}."


def _value(evaluation: Mapping[str, Any], method: str) -> str:
    value = evaluation["methods"][method].get(evaluation["primary"])
    return "–" if value is None else f"{value:.4f}"
