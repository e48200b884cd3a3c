"""Table, demands and page from made-up trials with known answers."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.quality import chart, page, table
from benchmarks.quality.demands import check
from benchmarks.quality.runs import DEMO, METRICS, MODEL
from counterpoint.trials import MIXED, Trial

USERS = [f"u{n}" for n in range(50)]
FACTS = {
    "title": "made up",
    "data": "None.",
    "seeds": [0, 1],
    "config": "default configuration",
    "tune": "defaults",
    "chart": "x.svg",
    "movielens_100k": True,
}


def _trial(method: str, mean: float, seed: int | None = None, **report: Any) -> Trial:
    primary = np.linspace(mean - 0.1, mean + 0.1, len(USERS))
    values = dict.fromkeys(METRICS, 0.5) | {"ndcg": mean}
    return Trial(method, seed, values, USERS, primary, 99, 70.0, 900.0, report)


def _result(model: float, **report: Any) -> dict[str, Any]:
    trials = [_trial(name, 0.15) for name in ("ease", "slist", "ials")]
    trials.append(_trial("edlae_recency", 0.17))
    trials += [_trial(MODEL, model + 0.001 * s, s, **report) for s in (-1, 1)]
    trials += [_trial(DEMO, model - 0.01, s) for s in (-1, 1)]
    return table.summarise([trials], protocol="per_user", split_seed=0)


def test_the_table_has_means_spread_and_gains() -> None:
    found = _result(0.2)
    assert found["methods"][MODEL]["ndcg"] == pytest.approx(0.2)
    assert found["methods"][MODEL]["ndcg_std"] == pytest.approx(np.std([-0.001, 0.001], ddof=1))
    assert found["methods"]["ease"]["ndcg_std"] is None
    assert found["best_peer"] == "edlae_recency"
    assert found["advantage"]["ease"]["relative"] == pytest.approx(0.05 / 0.15)
    assert set(found["advantage"]) == {"ease", "slist", "ials", "edlae_recency"}


def test_item_splits_are_pooled() -> None:
    first = [_trial("popularity", 0.1), _trial(MODEL, 0.2, 0)]
    second = [replace(t, primary=t.primary + 0.1, values=t.values | {"ndcg": 0.3}) for t in first]
    found = table.summarise([first, second], protocol="cold_items", split_seed=0)
    assert found["methods"][MODEL]["by_split"] == [0.2, 0.3]
    assert found["methods"][MODEL]["ndcg"] == pytest.approx(0.25)
    assert found["users"] == [50, 50]


@pytest.mark.parametrize(("model", "met"), [(0.2, True), (0.172, False)])
def test_demands_are_met_or_missed(model: float, met: bool) -> None:
    checks = {line.what: line for line in check(_result(model), movielens_100k=True)}
    assert checks["NDCG@10 at least 0.183"].met is met
    assert checks["+19% over ease"].met is met
    assert checks["paired 95% interval above 0 over edlae recency"].met
    assert any(line.aim for line in checks.values())
    assert not any("0.183" in line.what for line in check(_result(model), movielens_100k=False))


def test_significantly_below_a_strong_peer_is_a_miss() -> None:
    lines = check(_result(0.16), movielens_100k=False)
    (line,) = (line for line in lines if line.what.startswith("not significantly below"))
    assert not line.met and "(edlae recency)" in line.what


def test_choices_and_fit_are_billed_apart() -> None:
    result = _result(0.2, choose_cpu_seconds=15.0, final_cpu_seconds=55.0)
    lines = {line.what: line for line in check(result, movielens_100k=True)}
    assert lines["one fit without the choices: at most 60 CPU s"].found == "55 CPU s"
    assert lines["the choices: at most 300 CPU s"].found == "15 CPU s"


def test_the_warm_loss_is_capped() -> None:
    part = {"mean": 0.1}
    mixed = {"warm": part, "cold": {"mean": None}, "cold_recommended": 0.2}
    result = _result(0.2, **{MIXED: mixed | {"warm_loss": {"relative": 0.04}}})
    (line,) = (one for one in check(result, movielens_100k=True) if "warm items" in one.what)
    assert line.found == "4.0%" and not line.met
    assert "| **model** | 0.1000 | – | 20.0% | 4.0% |" in page.markdown([result], FACTS)


def test_the_page_marks_what_is_missed(tmp_path: Path) -> None:
    text = page.markdown([_result(0.172)], FACTS)
    assert "**missed**" in text and "(x.svg)" in text and "edlae recency 0.1700" in text
    drawings = []
    for name in ("a.svg", "b.svg"):
        chart.draw([_result(0.172)], tmp_path / name)
        drawings.append((tmp_path / name).read_bytes())
    assert drawings[0] == drawings[1] and b"edlae recency" in drawings[0]


def test_baselines_alone_make_a_page() -> None:
    result = table.summarise([[_trial("ease", 0.1)]], protocol="leave_last_out", split_seed=3)
    text = page.markdown([result], FACTS)
    assert "| LLO | 3 | – | ease 0.1000 | – | – |" in text
    assert check(result, movielens_100k=True) == []
