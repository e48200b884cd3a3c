import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import onnx
import pytest

from counterpoint.config.serve import DeployConfig
from counterpoint.errors import CounterpointError, DataError, QualityError, SetupError
from serving import deploy
from serving.deploy import DeployResult
from serving.registry import Registry
from serving.serve import champion_titles, materialise
from tests.serving import tiny
from tests.serving.test_server import alive


@pytest.fixture
def config(deployed: tuple[DeployConfig, DeployResult], tmp_path: Path) -> DeployConfig:
    """A registry of its own that begins with the deployed champion."""
    shutil.copytree(deployed[0].registry, tmp_path / "registry")
    state = {"registry": str(tmp_path / "registry"), "triton": str(tmp_path / "triton")}
    return deployed[0].model_copy(update=state)


@pytest.fixture
def candidate(folders: dict[str, Path], tmp_path: Path) -> dict[str, Path]:
    """Folders of another version, free to be damaged."""
    for name, folder in folders.items():
        shutil.copytree(folder, tmp_path / "candidate" / name)
    (tmp_path / "candidate" / "model" / "note").write_text("another")
    return {name: tmp_path / "candidate" / name for name in folders}


def champion(config: DeployConfig) -> str:
    found = Registry(config.registry).champion()
    assert found is not None
    return found.version


def test_a_deployed_version_is_champion_with_its_origin(
    deployed: tuple[DeployConfig, DeployResult],
) -> None:
    config, result = deployed
    assert champion(config) == result.version
    assert result.previous is None
    assert set(result.smoke.cases) == {
        *("start page", "known user", "history", "attributes", "encode")
    }
    details = Registry(config.registry).get(result.version).details
    assert details["evaluation"] == {"metrics": {"ndcg": 0.2}}
    assert details["n_items"] == len(tiny.ITEMS)
    actions = [e["action"] for e in Registry(config.registry).audit()]
    assert actions == ["publish", "promote"]
    assert champion_titles(config)["ünï"] == "Title of ünï"
    assert champion_titles(config)["a"] == "a"


def break_graph(candidate: dict[str, Path]) -> None:
    """The graph loads, but its prior is not a number."""
    path = candidate["onnx"] / "recommender.onnx"
    graph = onnx.load(path)
    (prior,) = (i for i in graph.graph.initializer if i.dims == [len(tiny.ITEMS) + 1])
    prior.raw_data = b"\x00\x00\xc0\x7f" * (len(tiny.ITEMS) + 1)
    onnx.save(graph, path)


def break_file(candidate: dict[str, Path]) -> None:
    (candidate["onnx"] / "recommender.onnx").write_bytes(b"no graph")


@pytest.mark.parametrize(
    ("breaking", "message"), [(break_graph, "Smoke test"), (break_file, "log")]
)
def test_a_broken_version_is_refused_and_the_champion_stays(
    config: DeployConfig, candidate: dict[str, Path], breaking: object, message: str
) -> None:
    assert callable(breaking)
    breaking(candidate)
    before = champion(config)
    with pytest.raises(CounterpointError, match=message):
        deploy.run(config, **candidate)
    assert champion(config) == before
    registry = Registry(config.registry)
    refused = registry.versions()[-1].version
    assert refused != before
    assert registry.status(refused) == "refused"
    assert registry.audit()[-1]["action"] == "refuse"


def test_a_held_model_is_not_published(
    config: DeployConfig, candidate: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "decision").mkdir()
    decision = {"promote": False, "reasons": [{"passed": False, "detail": "worse than EASE"}]}
    (tmp_path / "decision" / "decision.json").write_text(json.dumps(decision))
    with pytest.raises(QualityError, match="worse than EASE"):
        deploy.run(config, **candidate, decision=tmp_path / "decision")
    assert len(Registry(config.registry).versions()) == 1
    with pytest.raises(DataError, match=r"decision\.json"):
        deploy.run(config, **candidate, decision=tmp_path)


def test_missing_inputs_and_environment_are_told_first(
    config: DeployConfig, candidate: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"evaluation\.json"):
        deploy.run(config, **(candidate | {"evaluation": tmp_path}))
    bare = config.model_copy(update={"triton_env": str(tmp_path / "none")})
    with pytest.raises(SetupError, match="make setup"):
        deploy.run(bare, **candidate)
    assert len(Registry(config.registry).versions()) == 1


def test_a_killed_deployment_leaves_the_champion_and_the_next_one_succeeds(
    config: DeployConfig, candidate: dict[str, Path], tmp_path: Path
) -> None:
    before = champion(config)
    program = (
        "import json, sys; from pathlib import Path\n"
        "from counterpoint.config.serve import DeployConfig; from serving import deploy\n"
        "folders = {name: Path(path) for name, path in json.loads(sys.argv[2]).items()}\n"
        "deploy.run(DeployConfig.model_validate_json(sys.argv[1]), **folders)"
    )
    sources = json.dumps({name: str(folder) for name, folder in candidate.items()})
    process = subprocess.Popen([sys.executable, "-c", program, config.model_dump_json(), sources])
    registry = Registry(config.registry)
    end = time.monotonic() + 120
    while len(registry.versions()) < 2 and time.monotonic() < end:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(registry.versions()) == 2
    assert champion(config) == before
    reference = tmp_path / "reference"
    reference.mkdir()
    (reference / "reference.json").write_text("{}")
    result = deploy.run(config, **candidate, reference=reference)
    assert champion(config) == result.version
    assert result.previous == before
    with registry.open(result.version) as folder:
        assert (folder / "reference" / "reference.json").is_file()
    assert registry.rollback(why="test").version == before
    assert alive(str(tmp_path)) == []


def test_materialise_writes_the_asked_form(config: DeployConfig, tmp_path: Path) -> None:
    cluster = config.model_copy(update={"target": "cluster", "feature_server": "feast:6566"})
    folder = materialise(cluster)
    text = (folder / "recommend" / "config.pbtxt").read_text("utf-8")
    assert "feast:6566" in text
    assert "EXECUTION_ENV_PATH" not in text
    assert 'backend: "onnxruntime"' in (folder / "recommender" / "config.pbtxt").read_text("utf-8")
    again = materialise(config.model_copy(update={"target": "local"}))
    assert again == folder
    assert 'backend: "python"' in (folder / "recommender" / "config.pbtxt").read_text("utf-8")
    with pytest.raises(DataError, match="no champion"):
        materialise(config.model_copy(update={"registry": str(tmp_path / "none")}))
