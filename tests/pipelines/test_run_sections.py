import json
from pathlib import Path
from typing import Any

import pytest

from pipelines import run_report, run_sections

MODEL = {
    "report": {
        "choices": {"linear": {"ease/recent": 1.0}, "tower": 0.8, "half_life_days": None},
        "validation": {"ndcg@10": 0.25678, "users": 181, "why": "chosen <on> the validation fold"},
        "tried": [
            {"step": "linear alone", "candidate": "ease/flat", "ndcg@10": 0.2},
            {"step": "linear alone", "candidate": "ease/recent", "ndcg@10": 0.24},
            {"half_life_days": 30.0, "prior_alone": 0.11},
            {"step": "fusion", "tower": 0.8, "prior": 0.5, "ndcg@10": 0.2568},
        ],
        "skipped": ["linear slist with l2 * 2"],
        "final": {"steps": 96, "loss": 5.3},
        "seed": 0,
    }
}
DECISION = {
    "promote": False,
    "reasons": [
        {"condition": "enough users", "passed": True, "detail": "141 of 20"},
        {"condition": "beats ease", "passed": False, "detail": "interval reaches below 0"},
    ],
}


def interval(mean: float) -> dict[str, float]:
    return {"mean": mean, "low": mean - 0.02, "high": mean + 0.02}


EVALUATION = {
    "primary": "ndcg",
    "k": 10,
    "users": 141,
    "metrics": {"ndcg": {"greater_is_better": True}},
    "methods": {"model": {"ndcg": 0.29}, "ease": {"ndcg": 0.25}, "popularity": {"ndcg": 0.14}},
    "intervals": {
        "model": {"ndcg": interval(0.29)},
        "ease": {"ndcg": interval(0.25)},
        "popularity": {"ndcg": interval(0.14)},
    },
    "comparisons": {"ease": {"ndcg": interval(0.01)}, "popularity": {"ndcg": interval(0.15)}},
}


def put(path: Path, content: dict[str, Any] | str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    tasks = tmp_path / "artifacts" / "training-1"
    put(tasks / "train" / "model" / "model.json", MODEL)
    put(tasks / "train" / "curves", "<html><svg id='loss'></svg></html>")
    put(tasks / "train" / "embedding_map", "<html><figure>items</figure></html>")
    put(tasks / "evaluate" / "evaluation" / "evaluation.json", EVALUATION)
    put(tasks / "evaluate" / "report", "<html>evaluation</html>")
    put(tasks / "gate" / "decision" / "decision.json", DECISION)
    for task in ("train", "evaluate", "gate"):
        put(tasks / task / "executor_output.json", {})
    return tmp_path


def record(**more: Any) -> dict[str, Any]:
    config = {"train": {"objectives": {"info_nce": {"weight": 1.0}}}}
    stage = {"name": "train", "status": "done", "seconds": 3.0, "key_figure": "", "figures": {}}
    return {
        "id": "training-1",
        "pipeline": "training",
        "status": "succeeded",
        "started": "now",
        "runner": "local",
        "stages": [stage],
        "config": config,
        **more,
    }


def test_the_report_says_what_was_chosen_tried_and_skipped(run: Path) -> None:
    page = run_report.write(run, record()).read_text()
    for part in ("ease/recent 1", "half life days", "linear slist with l2 * 2", "linear alone"):
        assert part in page
    assert "info nce" in page and "weight 1" in page
    assert "chosen &lt;on&gt; the validation fold" in page
    assert "<svg id='loss'></svg>" in page and "<figure>items</figure>" in page


def test_the_report_shows_every_method_and_every_reason(run: Path) -> None:
    page = run_report.write(run, record()).read_text()
    for part in ("popularity", "0.2900", "beats ease", "interval reaches below 0", "141 of 20"):
        assert part.replace("0.2900", "0.29") in page
    assert "Held: The candidate is held." in page
    assert page.index("beats ease") < page.index("enough users")
    assert 'href="artifacts/training-1/evaluate/report.html"' in page


def test_only_a_certain_advantage_is_green(run: Path) -> None:
    found = run_sections.quality(run)
    assert found is not None and found.metric == "ndcg@10"
    assert [(m["name"], m["status"]) for m in found.methods] == [
        ("model", ""),
        ("ease", ""),
        ("popularity", "done"),
    ]


def test_a_run_that_ended_early_has_a_report_too(tmp_path: Path) -> None:
    fault = {"message": "the data broke the rules", "exit_code": 4}
    page = run_report.write(tmp_path, record(status="failed", fault=fault)).read_text()
    assert "the data broke the rules" in page
    assert 'id="quality"' not in page and 'id="choices"' not in page and "#gate" not in page


def test_candidates_are_grouped_by_step_and_judged_by_their_own_metric() -> None:
    linear, half_life, fusion = run_sections.tried(MODEL["report"]["tried"])
    assert linear.step == "linear alone" and linear.metric == "ndcg@10"
    assert [row["cells"] for row in linear.rows] == [["ease/recent"], ["ease/flat"]]
    assert linear.rows[0]["bar"] == 100 and linear.rows[1]["bar"] == 5
    assert half_life.metric == "prior_alone" and half_life.columns == ["half_life_days"]
    assert fusion.columns == ["tower", "prior"] and fusion.rows[0]["bar"] == 5
    (wordy,) = run_sections.tried([{"candidate": "x"}])
    assert wordy.metric is None and wordy.rows[0]["cells"] == ["x"]
    assert run_sections.tried([]) == []


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.123456, "0.1235"),
        (True, "yes"),
        (None, "–"),
        ({"a": 1.0, "b": {}}, "a 1, b –"),
        ([1, "x"], "1, x"),
    ],
)
def test_values_are_written_for_people(value: Any, text: str) -> None:
    assert run_sections.shown(value) == text
