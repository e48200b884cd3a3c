"""The monitoring report: verdict, reasons and signals on one self-contained HTML page."""

from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import Environment

from counterpoint.monitoring.signal import Signal

MEANING = {
    "event": "mix of event types",
    "value": "ratings or other values",
    "positive": "share of positive events",
    "items": "which items are interacted with",
    "popularity": "how much the popular items dominate",
    "item_text": "texts of the items",
    "unknown_users": "users never seen before",
    "unknown_items": "events on items never seen before",
    "quality": "realised quality of the recommendations",
    "score": "the model's scores of its own lists",
    "calibration": "hits compared with what the scores promise",
    "hour": "hour of the day",
    "weekday": "day of the week",
    "activity": "events per user",
}

SAYS = {
    "ok": "The window is like what the model was made from. Nothing to do.",
    "drift": "Something has changed. Look at the reasons; no retraining is started.",
    "retrain": "The change is large enough that the model is trained again.",
    "insufficient_data": "Too few new events to say anything. Nothing is done.",
}

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Monitoring: {{ v.verdict }}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
 body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem;
        color: #1c2430; background: #fff }
 h2 { margin-top: 2.2rem } .scroll { overflow-x: auto } .note { color: #5a6575 }
 table { border-collapse: collapse; margin: 1rem 0; font-size: .92rem }
 th, td { text-align: right; padding: .3rem .6rem; border-bottom: 1px solid #d9dee6;
          font-variant-numeric: tabular-nums; white-space: nowrap }
 th { vertical-align: bottom } td.name, th.name { text-align: left }
 .state { font-weight: 600; padding: .1rem .6rem; border-radius: 1rem; color: #fff }
 .ok { background: #12723f } .drift { background: #9a5b00 } .retrain { background: #b3261e }
 .insufficient_data { background: #5a6575 }
 .meter { width: 8rem; height: .7rem; background: #eef1f5; position: relative }
 .meter i { position: absolute; inset: 0 auto 0 0; background: #7a8798 }
 .meter i.over { background: #b3261e } .meter b { position: absolute; top: -.2rem; bottom: -.2rem;
 width: 2px; background: #1c2430 }
 .pair { width: 14rem } .pair i { display: block; height: .45rem; background: #9db1cc }
 .pair i.now { background: #b3261e } .key { display: inline-block; width: .8rem; height: .8rem }
 .bins { display: flex; flex-wrap: wrap; gap: 0 3rem } h3 { margin: 1rem 0 0 }
 iframe { width: 100%; height: 60rem; border: 1px solid #d9dee6 } summary { cursor: pointer }
</style>
<h1>Monitoring: <span class="state {{ v.verdict }}">{{ v.verdict | words }}</span></h1>
<p>{{ says }}{% if v.wanted != v.verdict %} The window alone asks for
 <b>{{ v.wanted | words }}</b>.{% endif %}</p>
<ul>{% for reason in v.reasons %}<li>{{ reason }}</li>{% endfor %}</ul>
<div class="scroll"><table><tr><th class="name"><th class="name">from<th class="name">to<th>events
<th>users</tr>
{% for name, side in (("reference", v.reference), ("window", v.window)) %}<tr>
<td class="name">{{ name }}<td class="name">{{ side.start | minute }}
<td class="name">{{ side.end | minute }}<td>{{ "{:,}".format(side.events) }}
<td>{{ "{:,}".format(side.users) }}</tr>{% endfor %}</table></div>
{% if signals %}<h2>Signals</h2>
<p>A signal has drifted if it is larger than the size that matters (black mark) <em>and</em>
 cannot be chance: p below {{ v.alpha }} after correction for {{ counted }} signals, with users, not
 events, as the unit. Where slices of the reference differ more among themselves than the setting,
 that usual size is what matters. Grey rows are shown but never counted.</p>
<div class="scroll"><table><tr><th class="name">signal<th class="name"><th>size<th>matters from
<th class="name"><th>adjusted p</tr>
{% for s in signals %}<tr{% if not s.counted %} class="note"{% endif %}>
<td class="name"><b>{{ s.name }}</b><br>
<span class="note">{{ s | meaning }} · {{ s.statistic }}</span>
<td class="name">{% if s.drifted %}<span class="state drift">drifted</span>
{% elif not s.counted %}not counted{% else %}ok{% endif %}
<td>{{ s.effect | figure }}{% if s.reference is not none and s.name != "calibration" %}<br>
<span class="note">{{ s.reference | figure }} → {{ s.current | figure }}</span>{% endif %}
<td>{{ s.threshold | figure }}
<td>{% if s.name != "calibration" %}<div class="meter">
<i class="{{ 'over' if s.drifted }}" style="width:{{ s | share(2) }}%"></i><b style="left:50%"></b>
</div>{% endif %}<td>{{ s.p_adjusted | chance }}</tr>
{% endfor %}</table></div>
{% if v.not_measured %}<p class="note">Not measured:</p><ul class="note">
{% for name, why in v.not_measured.items() %}<li>{{ name }}: {{ why }}</li>{% endfor %}</ul>
{% endif %}
<h2>What changed</h2>
<p>Shares of events (of users for user attributes):
 <span class="key" style="background:#9db1cc"></span> reference
 <span class="key" style="background:#b3261e"></span> window.</p>
<div class="bins">{% for s in signals if s.bins %}<div><h3>{{ s.name }}</h3><table>
{% set top = s.bins | widest %}{% for b in s.bins %}<tr><td class="name">{{ b.name | label }}
<td><div class="pair"><i style="width:{{ 100 * b.reference / top }}%"></i>
<i class="now" style="width:{{ 100 * b.current / top }}%"></i></div>
<td>{{ "%.1f" | format(100 * b.reference) }}%<td>{{ "%.1f" | format(100 * b.current) }}%</tr>
{% endfor %}</table></div>{% endfor %}</div>{% endif %}
<h2>Decisions so far</h2>
<div class="scroll"><table><tr><th class="name">decided<th class="name">window to
<th class="name">asked for<th class="name">verdict<th class="name">drifted signals</tr>
{% for record in history %}<tr><td class="name">{{ record.time | minute }}
<td class="name">{{ record.window_end | minute }}<td class="name">{{ record.wanted | words }}
<td class="name">{{ record.verdict | words }}<td class="name">{{ record.drifted | join(", ") }}</tr>
{% endfor %}</table></div>
<p>Alert: {{ "delivered" if v.alert.sent else "not sent" }} ({{ v.alert.detail }}).</p>
{% if frames %}<h2>Evidently</h2>
<p class="note">Evidently draws single columns and marks them by their index alone. It takes every
 event as independent, and its headline only counts marked columns, so neither is a verdict.</p>
{% for title, html in frames.items() %}<details{% if loop.first %} open{% endif %}>
<summary>{{ title }}</summary>
<iframe loading="lazy" title="{{ title }}" srcdoc="{{ html }}"></iframe></details>
{% endfor %}{% endif %}
</html>
"""


def page(
    verdict: Mapping[str, Any],
    signals: Sequence[Signal],
    *,
    history: Sequence[Mapping[str, Any]],
    frames: Mapping[str, str],
) -> str:
    """Return the HTML; it loads nothing from elsewhere.

    Args:
        verdict: Content of ``verdict.json``.
        signals: In the order to show.
        history: Newest records of the audit log, newest first.
        frames: Title -> page of Evidently.
    """
    environment = Environment(autoescape=True)
    environment.filters |= {
        "figure": lambda v: "" if v is None else f"{round(v, 3) + 0.0:.3f}",
        "chance": lambda p: "" if p is None else ("<0.001" if p < 0.001 else f"{p:.3f}"),
        "words": lambda text: str(text).replace("_", " "),
        "minute": lambda instant: str(instant).replace("T", " ")[:16],
        "meaning": lambda s: MEANING.get(s.name, s.name.replace("_", " ", 1)),
        "share": _share,
        "widest": lambda bins: max([b.reference for b in bins] + [b.current for b in bins]) or 1,
        "label": lambda name: name if len(name) <= 40 else f"{name[:39]}…",
    }
    return environment.from_string(PAGE).render(
        v=verdict,
        says=SAYS[verdict["verdict"]],
        signals=sorted(signals, key=lambda s: (not s.drifted, not s.counted)),
        counted=sum(s.counted for s in signals),
        history=history,
        frames=frames,
    )


def _share(signal: Signal, reach: float) -> float:
    """Width of the meter in percent, where ``reach`` times the threshold is full.

    An AUC starts from one half, every other size from zero.
    """
    floor = 0.5 if "AUC" in signal.statistic else 0.0
    part = (signal.effect - floor) / max(1e-12, signal.threshold - floor)
    return round(100 * min(1.0, max(0.0, part / reach)), 1)
