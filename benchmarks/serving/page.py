"""The results page: demanded number, measured number, met or not; then the details."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

COMMAND = ".venv/bin/python -m benchmarks.serving"


def markdown(parts: Mapping[str, Mapping[str, Any]], folder: Path) -> str:
    """Return the page.

    Args:
        parts: Name -> what the part found (``serving.json``), in their order.
        folder: Where results of the other benchmarks of serving lie.
    """
    summary = [
        [
            *(d["what"], d["demanded"], d["measured"]),
            "met" if d["met"] else "**not met**",
            f"`--only {name}`",
        ]
        for name, part in parts.items()
        for d in part["demands"]
    ]
    lines = [
        "# Serving",
        "",
        f"`{COMMAND}` measures everything on this page but the last section; `--only NAME` "
        "measures one part again and keeps the others. A part of another day or load says so.",
        "",
        *table(("what", "demanded", "measured", "", "part"), summary, numbers=False),
    ]
    for name, part in parts.items():
        lines += ["", f"## {part['title']}", "", part["text"], ""]
        for each in part["tables"]:
            lines += [*table(each["heads"], each["rows"]), ""]
        facts = part["machine"]
        lines.append(
            f"{facts['when']}, {facts['cpus']} CPUs, load average {facts['load_before']} before "
            f"and {facts['load_after']} after, {facts['seconds']:.0f} s"
            f"{'' if part['size'] == 1 else ', size ' + format(part['size'], 'g')}; "
            f"`{COMMAND} --only {name}`"
        )
    return "\n".join([*lines, *_others(folder), ""])


def table(
    heads: Sequence[str], rows: Sequence[Sequence[Any]], *, numbers: bool = True
) -> list[str]:
    """Return a Markdown table; all columns but the first are numbers."""
    rules = ["---", *(["---:" if numbers else "---"] * (len(heads) - 1))]
    shown = [heads, rules, *([_cell(value) for value in row] for row in rows)]
    return [f"| {' | '.join(row)} |" for row in shown]


def _cell(value: Any) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def _others(folder: Path) -> list[str]:
    """Return what the benchmarks with commands of their own have found."""
    lines: list[str] = []
    live, new = folder / "live.json", folder / "new_items.json"
    if live.is_file():
        found = json.loads(live.read_text("utf-8"))
        rows = [
            [f["what"], f["count"], f["p50_ms"], f["p99_ms"], f["max_ms"]] for f in found["figures"]
        ]
        lines += ["", f"Live features (`{COMMAND}.live`, [page](live.md)), load average "]
        lines[-1] += f"{found['facts']['load_average']}:"
        lines += ["", *table(("what", "count", "p50 ms", "p99 ms", "max ms"), rows)]
    if new.is_file():
        found = json.loads(new.read_text("utf-8"))
        rows = [[name, f["n"], f["median_ms"], f["max_ms"]] for name, f in found.items()]
        lines += ["", f"New items, from the call to the first answer (`{COMMAND}.new_items`):"]
        lines += ["", *table(("what", "count", "median ms", "max ms"), rows)]
    large = folder / "large.md"
    if large.is_file():
        kept = [line for line in large.read_text("utf-8").splitlines() if line.startswith("|")]
        lines += ["", f"Large catalogues (`{COMMAND}.large`, [page](large.md)):", "", *kept]
    return ["", "## Measured by commands of their own", *lines] if lines else []
