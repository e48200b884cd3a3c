"""The run report: stages, quality, gate, choices and map on one HTML page, with links to it all."""

from pathlib import Path
from typing import Any

from jinja2 import Environment
from markdown_it import MarkdownIt
from markupsafe import Markup

from pipelines import run_sections
from pipelines.run_page import PAGE

TITLES = {
    "stages": "Stages",
    "quality": "Quality",
    "gate": "Gate",
    "choices": "Choices",
    "training": "Training",
    "map": "Embedding map",
    "files": "Files",
    "configuration": "Configuration",
}


def write(folder: Path, record: dict[str, Any]) -> Path:
    """Write the report of a run; return its path."""
    import yaml

    outputs = sorted(folder.glob("artifacts/**/executor_output.json"), key=_modified)
    pages = {path.parent.name: _links(path.parent, folder) for path in outputs}
    summaries = [path.parent / "summary" for path in outputs if (path.parent / "summary").is_file()]
    seconds = [stage["seconds"] or 0.0 for stage in record["stages"]]
    trained = run_sections.training(folder, record["config"])
    sections = {
        "quality": run_sections.quality(folder),
        "gate": run_sections.verdict(folder),
        "choices": trained,
        "training": trained,
        "map": trained and trained.embedding_map,
    }
    environment = Environment(autoescape=True)
    environment.filters["words"] = lambda name: str(name).replace("_", " ")
    text = environment.from_string(PAGE).render(
        record=record,
        total=max([*seconds, 1e-9]),
        contents=[(k, title) for k, title in TITLES.items() if k not in sections or sections[k]],
        quality=sections["quality"],
        verdict=sections["gate"],
        training=trained,
        shown=run_sections.SHOWN,
        links={stage: _report(pages, stage) for stage in ("evaluate", "gate")},
        pages={stage: links for stage, links in pages.items() if links},
        notes=[{"stage": s.parent.name, "html": _html(s)} for s in summaries],
        config=yaml.safe_dump(record["config"], sort_keys=False),
    )
    report = folder / "report.html"
    report.write_text(text, "utf-8")
    return report


def _report(pages: dict[str, list[dict[str, str]]], stage: str) -> list[str]:
    """The page that a stage's newest task wrote for people, if it is there."""
    tasks = [links for task, links in pages.items() if task.startswith(stage)]
    return [link["target"] for links in tasks[-1:] for link in links if link["label"] == "report"]


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
