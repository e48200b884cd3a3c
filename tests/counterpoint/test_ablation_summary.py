import numpy as np
import pytest

from counterpoint.ablation_report import markdown, page
from counterpoint.ablation_summary import Cell, summarise
from counterpoint.ablation_variants import DEFAULT, Variant
from counterpoint.config import EvaluateConfig
from tests.counterpoint.test_trial_comparison import trial

VARIANTS = [
    Variant(DEFAULT, "all"),
    Variant("without text", "text", {"train.encoder.model": None}),
    Variant("with moco", "objectives"),
    Variant("without order", "order"),
]
USERS = [f"u{n}" for n in range(60)]


def _summary() -> dict:
    rng = np.random.default_rng(0)
    cells = []
    for seed in (0, 1):
        base = dict(zip(USERS, rng.random(60), strict=True))
        cells.append(Cell(DEFAULT, seed, trial(base, seed)))
        worse = {user: value - 0.2 for user, value in base.items()}
        cells.append(Cell("without text", seed, trial(worse, seed)))
        noise = {user: value + float(rng.normal()) for user, value in base.items()}
        cells.append(Cell("with moco", seed, trial(noise, seed)))
        cells.append(Cell("without order", seed, "The loss diverged."))
    return summarise("per_user", VARIANTS, cells, EvaluateConfig(resamples=300))


def test_differences_are_variant_minus_default_over_users() -> None:
    found = _summary()
    rows = {row["name"]: row for row in found["rows"]}
    assert found["users"] == 60
    assert rows["without text"]["difference"]["mean"] == pytest.approx(-0.2)
    relative = -0.2 / rows[DEFAULT]["mean"]
    assert rows["without text"]["difference"]["relative"] == pytest.approx(relative)
    assert rows["without text"]["verdict"] == "worse"
    assert rows["with moco"]["verdict"] == "no clear difference"
    assert rows[DEFAULT]["difference"] is None and rows[DEFAULT]["verdict"] == "default"


def test_a_failed_variant_is_shown_with_its_reason() -> None:
    found = _summary()
    (row,) = (row for row in found["rows"] if row["name"] == "without order")
    assert row["verdict"] == "failed" and row["failures"] == {0: "The loss diverged."} | {
        1: "The loss diverged."
    }
    content = {
        "fold": "valid",
        "metric": "ndcg",
        "k": 10,
        "seeds": [0, 1],
        "confidence": 0.95,
        "intervals": "paired bootstrap intervals",
        "skipped": 3,
        "protocols": [found],
    }
    for text in (markdown(content), page(content)):
        assert "The loss diverged." in text and "3 runs are missing" in text
        assert "-0.2000" in text and "train.encoder.model=None" in text
    assert page(content) == page(content) and "<svg" in page(content)


def test_seeds_that_the_default_lacks_do_not_count() -> None:
    values = dict.fromkeys(USERS, 0.5)
    cells = [
        Cell(DEFAULT, 0, trial(values)),
        Cell("without text", 0, trial(values)),
        Cell("without text", 1, trial(dict.fromkeys(USERS, 9.0), 1)),
        Cell("with moco", 1, trial(values, 1)),
    ]
    found = summarise("per_user", VARIANTS[:3], cells, EvaluateConfig(resamples=300))
    rows = {row["name"]: row for row in found["rows"]}
    assert rows["without text"]["difference"]["mean"] == 0.0
    assert rows["with moco"]["difference"] is None
    assert "no common seed" in rows["with moco"]["verdict"]
