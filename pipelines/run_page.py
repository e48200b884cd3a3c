"""The template of the run report."""

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{{ record.id }}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
 body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 66rem; padding: 0 1rem;
        color: #1c2430; background: #fff }
 h2 { margin-top: 2.4rem; border-bottom: 2px solid #1c2430; padding-bottom: .2rem }
 h3 { margin: 1.6rem 0 0 } .scroll { overflow-x: auto }
 table { border-collapse: collapse; width: 100%; margin: 1rem 0; font-size: .92rem }
 th, td { text-align: left; padding: .35rem .7rem; border-bottom: 1px solid #d9dee6;
          vertical-align: top }
 th.number, td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
 .done, .succeeded, .passed { color: #12723f } .failed, .killed { color: #b3261e }
 .note { color: #5a6575; font-size: .92rem } code, pre { font-size: .88rem }
 pre { background: #f4f6f9; padding: 1rem; overflow: auto; max-height: 24rem }
 .verdict { border-left: .5rem solid; padding: .4rem 1rem; margin: 1rem 0; font-size: 1.05rem }
 details { margin: .6rem 0 } summary { cursor: pointer; font-weight: 600 }
 details h1 { font-size: 1.1rem } details table { width: auto }
 .bar { background: #3467c4; height: .7rem; border-radius: 2px; min-width: 2px }
 .best td { font-weight: 600 } dl { display: grid; grid-template-columns: max-content 1fr;
 gap: .2rem 1.2rem; margin: 1rem 0 } dt { color: #5a6575 } dd { margin: 0 }
 nav a { margin-right: 1rem } svg { max-width: 100%; height: auto }
</style>
{% macro pairs(values) %}<dl>{% for name, value in values.items() %}
<dt>{{ name | words }}<dd>{{ value }}{% endfor %}</dl>{% endmacro %}
<h1>{{ record.pipeline | capitalize }} run</h1>
<p><code>{{ record.id }}</code>, started {{ record.started }}, runner {{ record.runner }}:
 <strong class="{{ record.status }}">{{ record.status }}</strong></p>
{% if record.fault %}<pre>{{ record.fault.message }}</pre>{% endif %}
<nav>{% for anchor, title in contents %}<a href="#{{ anchor }}">{{ title }}</a>{% endfor %}</nav>
{% if verdict %}<div class="verdict {{ 'passed' if verdict.promote else 'failed' }}">
{{ "Promoted" if verdict.promote else "Held" }}: {{ verdict.summary }}</div>{% endif %}
<h2 id="stages">Stages</h2>
<div class="scroll"><table><thead><tr><th>stage<th>status<th class="number">seconds
<th style="width:12rem">share<th>key figure<th class="number">memory MB</tr></thead><tbody>
{% for stage in record.stages %}<tr><td>{{ stage.name }}
<td class="{{ stage.status }}">{{ stage.status }}
<td class="number">{{ "%.1f" | format(stage.seconds or 0) }}
<td><div class="bar" style="width:{{ 100 * (stage.seconds or 0) / total }}%"></div>
<td>{{ stage.key_figure }}
<td class="number">{{ "%.0f" | format(stage.figures.get("peak_memory_mb", 0)) }}</tr>
{% endfor %}</tbody></table></div>
{% if quality %}<h2 id="quality">Quality</h2>
<p>{{ quality.metric }} on {{ quality.users }} test users, all methods on the same users. Green: the
 paired interval of the model's advantage lies above 0.
{%- for link in links.evaluate %} <a href="{{ link | urlencode }}">The whole evaluation</a>
{%- endfor %}</p>
{{ quality.drawing }}
<div class="scroll"><table><tr><th>method<th class="number">{{ quality.metric }}
<th class="number">interval<th class="number">model minus method<th class="number">paired interval
</tr>
{% for m in quality.methods %}<tr{% if m.name == "model" %} class="best"{% endif %}><td>{{ m.name }}
<td class="number">{{ m.value }}<td class="number">{{ m.interval }}
<td class="number {{ m.status }}">{{ m.advantage }}
<td class="number {{ m.status }}">{{ m.advantage_interval }}</tr>{% endfor %}</table></div>
{% endif %}{% if verdict %}<h2 id="gate">Gate</h2>
<p>Every condition must hold.
{%- for link in links.gate %} <a href="{{ link | urlencode }}">The decision with its figures</a>
{%- endfor %}</p>
<div class="scroll"><table><tr><th>condition<th>status<th>figures</tr>
{% for r in verdict.reasons %}<tr><td>{{ r.condition }}<td class="{{ r.status }}">{{ r.status }}
<td>{{ r.detail }}</tr>{% endfor %}</table></div>{% endif %}
{% if training %}<h2 id="choices">Choices on validation</h2>
{{ pairs(training.choices) }}
<h3>Why</h3>{{ pairs(training.validation) }}
{% if training.tried %}<h3>What was tried</h3>
<p class="note">Best first, each step with its own scale. The choice also weighs how certain a
 difference is, so the first of a list is not always taken.</p>
{% for step in training.tried %}<details>
<summary>{{ step.step or "Candidates" }}: {{ step.rows | length }} tried
{%- if step.metric and step.rows %}, best {{ step.metric }} {{ step.rows[0].value }}{% endif %}
</summary>
<div class="scroll"><table><tr>{% for name in step.columns %}<th>{{ name | words }}{% endfor %}
{% if step.metric %}<th class="number">{{ step.metric }}<th style="width:8rem">{% endif %}</tr>
{% for row in step.rows[:shown] %}<tr{% if row.taken %} class="best"{% endif %}>
{% for cell in row.cells %}<td>{{ cell }}{% endfor %}
{% if step.metric %}<td class="number">{{ row.value }}
<td><div class="bar" style="width:{{ row.bar }}%"></div>{% endif %}</tr>{% endfor %}
{% if step.rows | length > shown %}<tr><td class="note" colspan="9">and
 {{ step.rows | length - shown }} more, in model.json</tr>{% endif %}
</table></div></details>{% endfor %}{% endif %}
{% if training.skipped %}<h3>Not tried: the budget was used up</h3>
<p>{{ training.skipped | join(" · ") }}</p>{% endif %}
<h2 id="training">Training</h2>
<h3>Objectives and their options</h3>{{ pairs(training.objectives) }}
{% if training.fits %}<h3>Fits of the towers</h3>
{% set names = (training.fits.values() | first).keys() | list %}
<table><tr><th>fit{% for name in names %}<th class="number">{{ name | words }}{% endfor %}</tr>
{% for fit, figures in training.fits.items() %}<tr><td>{{ fit }}{% for name in names %}
<td class="number">{{ figures[name] }}{% endfor %}</tr>{% endfor %}</table>{% endif %}
{% if training.curves %}<h3>Loss</h3>{{ training.curves }}{% endif %}
{% if training.embedding_map %}<h2 id="map">Embedding map</h2>
{{ training.embedding_map }}{% endif %}
{% endif %}
<h2 id="files">Reports and artifacts</h2>
<table><thead><tr><th>stage<th>files</tr></thead><tbody>
{% for stage, found in pages.items() %}<tr><td>{{ stage }}<td>
{% for link in found %}<a href="{{ link.target | urlencode }}">{{ link.label }}</a>
{%- if not loop.last %} · {% endif %}{% endfor %}</tr>{% endfor %}</tbody></table>
{% for note in notes %}<details><summary>{{ note.stage }}</summary>{{ note.html }}</details>
{% endfor %}<h2 id="configuration">Configuration</h2><pre>{{ config }}</pre>
</html>
"""
