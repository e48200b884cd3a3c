"""What came of the variants, as JSON and as a Markdown table."""

from collections.abc import Mapping, Sequence
from typing import Any

from counterpoint.compression.gate import Measured
from counterpoint.compression.trial import BATCHES, Judged
from counterpoint.compression.variants import UNCOMPRESSED
from counterpoint.interval_json import interval_json, number

HEAD = (
    "form",
    "MB",
    *(f"ms/{size}" for size in BATCHES),
    "cosine",
    "top 10",
    "NDCG@10",
    "difference",
    "",
)
"""Titles of the columns; ms/8 is the CPU time of a batch of eight, top 10 the share of the nearest
items that stay the same, difference that of NDCG@10 on new items."""


def plain(
    whole: Measured, judged: Sequence[Judged], *, untried: Sequence[str] = (), served: str
) -> dict[str, Any]:
    """Return the content of compression.json.

    Args:
        whole: The uncompressed form.
        judged: Variants in the order they were tried in.
        untried: Names of those that were not needed.
        served: Name of the form that is served.
    """
    return {
        "served": served,
        "forms": [_form(UNCOMPRESSED, whole)]
        + [
            (_form(one.name, one.measured) if one.measured else {"name": one.name})
            | {
                "accepted": one.accepted,
                "reasons": [
                    {"condition": r.condition, "status": r.status, "detail": r.detail}
                    for r in one.reasons
                ],
            }
            for one in judged
        ],
        "untried": list(untried),
    }


def markdown(report: Mapping[str, Any]) -> str:
    """Return a Markdown table of the forms and the reasons below it."""
    lines = [f"| {' | '.join(HEAD)} |", f"| --- |{' ---: |' * (len(HEAD) - 2)} --- |"]
    lines += [f"| {' | '.join(cells(form))} |" for form in report["forms"]]
    notes = [
        f"- {form['name']}: {reason['detail']}"
        for form in report["forms"]
        for reason in form.get("reasons", ())
        if reason["status"] != "passed"
    ]
    if report["untried"]:
        notes.append(f"- Not tried: {', '.join(report['untried'])}.")
    return "\n".join([*lines, *(["", *notes] if notes else [])])


def cells(form: Mapping[str, Any]) -> list[str]:
    """Return one row of the table: ten texts."""
    name = form["name"]
    verdict = "" if "accepted" not in form else "accepted" if form["accepted"] else "refused"
    if "mb" not in form:
        return [name, *["–"] * 8, verdict]
    over = form["difference"]
    return [
        name,
        f"{form['mb']:.1f}",
        *(f"{form['ms'][str(size)]:.1f}" for size in BATCHES),
        _shown(form["cosine"], 4),
        _shown(form["overlap"], 3),
        _shown(form["ndcg"], 4),
        ""
        if name == UNCOMPRESSED or over["mean"] is None
        else f"{over['mean']:+.4f} ({over['low']:+.4f} to {over['high']:+.4f})",
        verdict,
    ]


def _form(name: str, found: Measured) -> dict[str, Any]:
    return {
        "name": name,
        "mb": round(found.megabytes, 3),
        "ms": {str(size): round(value, 3) for size, value in found.milliseconds.items()},
        "cosine": number(found.cosine),
        "least_cosine": number(found.least_cosine),
        "overlap": number(found.overlap),
        "ndcg": number(found.ndcg),
        "difference": interval_json(found.difference),
    }


def _shown(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
