"""Great Expectations' Data Docs as one self-contained page, readable without any network."""

import html
import re
from collections.abc import Sequence

from great_expectations.core.expectation_validation_result import ExpectationSuiteValidationResult
from great_expectations.render.renderer import ValidationResultsPageRenderer
from great_expectations.render.view import DefaultJinjaPageView

STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#212529;max-width:75rem;margin:0 auto;padding:1.5rem}
h1{font-size:1.6rem}h2{font-size:1.3rem;margin-top:2.5rem;border-bottom:2px solid #dee2e6}
h5,h6,.h6{font-size:1rem;font-weight:600;margin:.2rem 0}
table{border-collapse:collapse;margin:.4rem 0}
td,th{border:1px solid #dee2e6;padding:.35rem .6rem;text-align:left;vertical-align:top}
.alert{background:#eef1f4;padding:.5rem .8rem;border-radius:4px;margin-top:1rem}
.badge{background:#6c757d;color:#fff;border-radius:4px;padding:0 .35rem;font-size:.85em}
.text-danger,.fail{color:#b02a37}.text-success,.pass{color:#146c43}.warn{color:#8a6100}
.fa-times::before{content:"✘"}.fa-check-circle::before{content:"✔"}
.fa-exclamation-triangle::before{content:"!"}
.collapse{display:none}.show-scrollbars{overflow-wrap:anywhere}
"""


def page(
    verdict: str,
    reasons: Sequence[str],
    figures: Sequence[Sequence[str]],
    results: Sequence[ExpectationSuiteValidationResult],
) -> str:
    """Return the page.

    Args:
        verdict: ``pass``, ``warn`` or ``fail``.
        reasons: Why it is not ``pass``.
        figures: Header row, then one row a table.
        results: Of the suites, in order.
    """
    header, *rows = [[html.escape(cell) for cell in row] for row in figures]
    cells = "".join(f"<th>{cell}</th>" for cell in header)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    listed = "".join(f"<li>{html.escape(reason)}</li>" for reason in reasons)
    sections = "".join(
        f"<h2>{html.escape(result.suite_name)}</h2>{_sections(result)}" for result in results
    )
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Data validation</title>'
        f"<style>{STYLE}</style></head><body><h1>Data validation: "
        f'<span class="{verdict}">{verdict}</span></h1><ul>{listed}</ul>'
        f"<table><tr>{cells}</tr>{body}</table>{sections}</body></html>\n"
    )


def _sections(result: ExpectationSuiteValidationResult) -> str:
    """The result sections of the page Great Expectations renders, without links and scripts."""
    rendered = DefaultJinjaPageView().render(ValidationResultsPageRenderer().render(result))
    content = rendered[rendered.index('<div id="section-1"') :].partition("<footer")[0]
    kept = re.sub(r"<script.*?</script>", "", content, flags=re.DOTALL)
    # The blocks around the sections were opened before the cut.
    for _ in range(kept.count("</div>") - kept.count("<div")):
        kept = kept[: kept.rindex("</div>")]
    kept = re.sub(r"<(link|img|input)\b[^>]*>", "", kept)
    return re.sub(r"</?(a|button|label)\b[^>]*>", "", kept)
