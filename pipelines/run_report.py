"""The run report: one HTML page with the stages, their key figures and links to what they made."""

from pathlib import Path
from typing import Any

from jinja2 import Environment
from markdown_it import MarkdownIt
from markupsafe import Markup

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{{ record.id }}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
 body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 62rem; padding: 0 1rem;
        color: #1c2430; background: #fff }
 table { border-collapse: collapse; width: 100%; margin: 1rem 0 }
 th, td { text-align: left; padding: .4rem .7rem; border-bottom: 1px solid #d9dee6;
          vertical-align: top }
 td.number { text-align: right; font-variant-numeric: tabular-nums }
 .done { color: #12723f } .failed, .killed { color: #b3261e } code, pre { font-size: .88rem }
 pre { background: #f4f6f9; padding: 1rem; overflow: auto; max-height: 24rem }
 details { margin: .6rem 0 } summary { cursor: pointer; font-weight: 600 }
 details h1 { font-size: 1.1rem } details table { width: auto }
 .bar { background: #3467c4; height: .7rem; border-radius: 2px; min-width: 2px }
</style>
<h1>{{ record.pipeline | capitalize }} run</h1>
<p><code>{{ record.id }}</code>, started {{ record.started }}, runner {{ record.runner }}:
 <strong class="{{ record.status }}">{{ record.status }}</strong></p>
{% if record.fault %}<pre>{{ record.fault.message }}</pre>{% endif %}
<table><thead><tr><th>stage<th>status<th>seconds<th style="width:12rem">share<th>key figure
<th>memory MB</tr></thead><tbody>
{% for stage in record.stages %}<tr><td>{{ stage.name }}
<td class="{{ stage.status }}">{{ stage.status }}
<td class="number">{{ "%.1f" | format(stage.seconds or 0) }}
<td><div class="bar" style="width:{{ 100 * (stage.seconds or 0) / total }}%"></div>
<td>{{ stage.key_figure }}
<td class="number">{{ "%.0f" | format(stage.figures.get("peak_memory_mb", 0)) }}</tr>
{% endfor %}</tbody></table>
<h2>Reports and artifacts</h2>
<table><thead><tr><th>stage<th>files</tr></thead><tbody>
{% for stage, links in pages.items() %}<tr><td>{{ stage }}<td>
{% for link in links %}<a href="{{ link.target | urlencode }}">{{ link.label }}</a>
{%- if not loop.last %} · {% endif %}{% endfor %}</tr>{% endfor %}</tbody></table>
{% for note in notes %}<details><summary>{{ note.stage }}</summary>{{ note.html }}</details>
{% endfor %}<h2>Configuration</h2><pre>{{ config }}</pre>
</html>
"""


def write(folder: Path, record: dict[str, Any]) -> Path:
    """Write the report of a run; return its path."""
    import yaml

    outputs = sorted(folder.glob("artifacts/**/executor_output.json"), key=_modified)
    pages = {path.parent.name: _links(path.parent, folder) for path in outputs}
    summaries = [path.parent / "summary" for path in outputs if (path.parent / "summary").is_file()]
    seconds = [stage["seconds"] or 0.0 for stage in record["stages"]]
    text = (
        Environment(autoescape=True)
        .from_string(PAGE)
        .render(
            record=record,
            total=max([*seconds, 1e-9]),
            pages={stage: links for stage, links in pages.items() if links},
            notes=[{"stage": s.parent.name, "html": _html(s)} for s in summaries],
            config=yaml.safe_dump(record["config"], sort_keys=False),
        )
    )
    report = folder / "report.html"
    report.write_text(text, "utf-8")
    return report


def _html(summary: Path) -> Markup:
    """A step's Markdown summary as HTML; raw HTML in it stays text."""
    reader = MarkdownIt("commonmark", {"html": False}).enable("table")
    return Markup(reader.render(summary.read_text("utf-8")))


def _modified(path: Path) -> float:
    return path.stat().st_mtime


def _links(task: Path, folder: Path) -> list[dict[str, str]]:
    """Links to a task's pages and folders, pages first.

    KFP gives artifacts no file ending, so a page gets a neighbour with one: a browser would show it
    as text otherwise.
    """
    links = []
    for path in sorted(task.iterdir(), key=lambda p: (p.is_dir(), p.name)):
        if path.name in {"executor_output.json", "Output", "summary"} or path.suffix == ".html":
            continue
        target = path
        if path.is_file() and path.read_bytes()[:200].lstrip().lower().startswith(b"<"):
            target = path.with_suffix(".html")
            target.write_bytes(path.read_bytes())
        links.append({"label": path.name, "target": str(target.relative_to(folder))})
    return links
