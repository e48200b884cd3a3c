import re

from counterpoint import decision_report
from counterpoint.config import GateConfig
from counterpoint.gate import decide
from tests.counterpoint.test_gate import GOOD, SLICES, with_slices

PARTS = (
    ("<b>odd", 100, 0.2, -0.1, -0.15, -0.05),
    ("fine", 100, 0.2, 0.01, 0.0, 0.02),
    ("nobody", 0, None),
)


def page(evaluation, config):
    decision = decide(evaluation, config)
    full = evaluation | {"targets": 321}
    return decision, decision_report.page(decision, full, config.model_dump(mode="json"))


def test_every_reason_is_on_the_page_worst_slices_first():
    decision, text = page(with_slices(*PARTS), SLICES)
    assert "<h1>Hold the candidate</h1>" in text
    assert "6 of 7 conditions hold, 1 could not be judged" in text
    slices = text[text.index("<h2>Slices") :]
    assert slices.index("✗ failed") < slices.index("– not judged") < slices.index("✓ passed")
    assert "<b>odd" not in text and "&lt;b&gt;odd" in text
    assert all(reason.condition.split(" on ")[0] in text for reason in decision.reasons)
    assert slices.count("<svg") == 1 and "advantage over the champion" in slices
    assert not re.search(r"""(src|href)=["']?(https?:)?//|<link|<script|url\((?!#)""", text)


def test_the_first_model_has_no_slices_to_lose():
    decision, text = page(GOOD, GateConfig())
    assert decision.promote
    assert "<h1>Promote the candidate</h1>" in text and "<h2>Slices" not in text
    assert decision_report.summary(decision) == "5 of 5 conditions hold."
    assert "of the champion" not in text


def test_the_markdown_lists_the_same_reasons():
    decision = decide(with_slices(*PARTS), SLICES)
    text = decision_report.markdown(decision)
    assert text.startswith("# Hold the candidate\n")
    assert text.count("| **failed** |") == 1 and text.count("| not judged |") == 1
    assert all(reason.detail in text for reason in decision.reasons)
