"""The real pipelines under kfp.local, on a small shop."""

import json
from pathlib import Path

import pytest
from rich.console import Console

from counterpoint.config import Config, load, merge
from counterpoint.errors import CounterpointError
from pipelines.runners import LocalRun, run_local
from serving.registry import Registry

STAGES = ["ingest", "validate", "features", "train", "evaluate", "gate", "export", "deploy"]


def changed(config: Config, **sections: dict[str, object]) -> Config:
    return Config.model_validate(merge(config.model_dump(mode="json"), sections))


def run(pipeline: str, config: Config, root: Path) -> LocalRun:
    return run_local(pipeline, config, root=root, console=Console(quiet=True))


@pytest.fixture(scope="module")
def trained(small: Config, tmp_path_factory: pytest.TempPathFactory) -> LocalRun:
    return run("training", small, tmp_path_factory.mktemp("runs with space"))


def test_training_goes_from_raw_files_to_a_champion(trained: LocalRun, small: Config) -> None:
    assert [stage.name for stage in trained.watcher.stages] == STAGES
    assert all(stage.status == "done" for stage in trained.watcher.stages)
    assert all(stage.figures["seconds"] > 0 for stage in trained.watcher.stages)
    assert trained.held == []
    champion = Registry(small.deploy.registry).champion()
    assert champion is not None
    with Registry(small.deploy.registry).open(champion.version) as folder:
        assert {"onnx", "model", "evaluation", "reference"} <= {p.name for p in folder.iterdir()}


def test_the_report_links_every_page_and_the_pages_exist(trained: LocalRun) -> None:
    import re
    from urllib.parse import unquote

    page = (trained.folder / "report.html").read_text()
    links = [unquote(link) for link in re.findall(r'href="([^#"][^"]*)"', page)]
    assert len(links) >= len(STAGES)
    assert all((trained.folder / link).exists() for link in links)
    for stage in trained.watcher.stages:
        assert stage.key_figure and stage.key_figure.split(" ")[0] in page


def test_artifacts_are_what_the_kubeflow_ui_shows(trained: LocalRun) -> None:
    kinds: dict[str, set[str]] = {}
    for output in trained.folder.glob("artifacts/**/executor_output.json"):
        for artifact in json.loads(output.read_text())["artifacts"].values():
            for entry in artifact["artifacts"]:
                kinds.setdefault(output.parent.name, set()).add(entry["name"])
    assert all({"metrics", "summary"} <= kinds[stage] for stage in STAGES)
    assert "report" in kinds["validate"] and "curves" in kinds["train"]
    assert {"report", "clicks"} <= kinds["evaluate"]


@pytest.mark.slow
def test_a_second_run_compares_with_the_champion(
    trained: LocalRun, small: Config, tmp_path: Path
) -> None:
    finished = run("training", small, tmp_path)
    decision = next(finished.folder.glob("artifacts/*/gate/decision/decision.json"))
    reasons = [reason["condition"] for reason in json.loads(decision.read_text())["reasons"]]
    assert "not worse than the champion" in reasons and "not worse on known_users" in reasons
    evaluation = next(finished.folder.glob("artifacts/*/evaluate/evaluation/evaluation.json"))
    assert "champion" in json.loads(evaluation.read_text())["methods"]


@pytest.mark.slow
def test_a_held_candidate_is_not_deployed(small: Config, tmp_path: Path) -> None:
    own = changed(
        small, gate={"min_users": 100_000}, deploy={"registry": str(tmp_path / "registry")}
    )
    finished = run("training", own, tmp_path / "runs")
    assert [stage.name for stage in finished.watcher.stages] == STAGES[:6]
    assert Registry(own.deploy.registry).versions() == []
    assert any("100000" in reason for reason in finished.held)


def test_bad_data_stop_the_run_with_table_rule_count_and_examples(
    small: Config, shop: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "interactions.csv"
    lines = (shop / "interactions.csv").read_text().splitlines()
    broken.write_text("\n".join([*lines, *lines[1:]]) + "\n")
    own = changed(small, ingest={"options": {"interactions": str(broken)}})
    with pytest.raises(CounterpointError) as caught:
        run("training", own, tmp_path / "runs")
    assert caught.value.exit_code == 4
    for part in ("interactions", "duplicate", "2000", "u0"):
        assert part in str(caught.value)


@pytest.mark.slow
def test_drift_starts_the_nested_training(
    trained: LocalRun, small: Config, shop: Path, tmp_path: Path
) -> None:
    lines = (shop / "interactions.csv").read_text().splitlines()
    later = [
        f"n{u},i{4 * (n % 12)},{1_710_000_000 + 60 * n + u}" for u in range(80) for n in range(12)
    ]
    drifted = tmp_path / "interactions.csv"
    drifted.write_text("\n".join([*lines, *later]) + "\n")
    own = changed(
        small,
        ingest={"options": {"interactions": str(drifted)}},
        monitor={"state": str(tmp_path / "monitoring"), "cooldown_hours": 0, "consecutive": 1},
    )
    finished = run("monitoring", own, tmp_path / "runs")
    # kfp numbers the second task of a name.
    names = [stage.name.removesuffix("-2") for stage in finished.watcher.stages]
    assert names[:3] == ["ingest", "validate", "monitor"]
    assert names[3:] == STAGES[: len(names) - 3] and len(names) >= 9


@pytest.mark.parametrize("path", sorted(Path("pipelines/configs").glob("*.yaml")), ids=str)
def test_shipped_configurations_are_read(path: Path) -> None:
    assert load([path]).ingest.dataset == "movielens"
