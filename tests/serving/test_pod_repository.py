"""A pod's repository: the version of its rollout, else the champion, for which it waits."""

from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from counterpoint.config import DeployConfig
from counterpoint.errors import ConfigError
from serving import pod_repository
from serving.engine.live_folder import Desired
from serving.pointers import Pointers
from serving.registry import Registry
from tests.serving import several, tiny


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return tiny.write_version(tmp_path_factory.mktemp("version"))


@pytest.fixture
def config(tmp_path: Path) -> DeployConfig:
    return DeployConfig(registry=str(tmp_path / "registry"), feature_server="feature-server:6566")


def publish(config: DeployConfig, folders: dict[str, Path], note: str) -> str:
    return Registry(config.registry).publish(folders, details={"note": note}, why="test").version


def test_the_champion_in_the_cluster_form(config, folders, tmp_path):
    version = publish(config, folders, "one")
    Registry(config.registry).promote(version, why="test")
    assert pod_repository.fetch(config, tmp_path / "models") == Pointers(version)
    found = {}
    for path in (tmp_path / "models").glob("*/config.pbtxt"):
        found[path.parent.name] = model_config_pb2.ModelConfig()
        text_format.Parse(path.read_text("utf-8"), found[path.parent.name])
    assert {name: model.backend for name, model in found.items()} == {
        "recommender": "onnxruntime",
        "item_encoder": "onnxruntime",
        "recommend": "python",
        "encode": "python",
        "similar": "python",
        "catalogue": "python",
        "rerank": "python",
        "reranker": "onnxruntime",
    }
    parameters = found["recommend"].parameters
    assert parameters["feature_server"].string_value == "feature-server:6566"
    assert parameters["version"].string_value == version
    assert "EXECUTION_ENV_PATH" not in parameters


def test_the_version_of_the_rollout_wins(config, folders, tmp_path, monkeypatch):
    other = {**folders, "model": tmp_path / "model"}
    other["model"].mkdir()
    (other["model"] / "model.json").write_text('{"other": 1}', "utf-8")
    first, second = publish(config, folders, "one"), publish(config, other, "two")
    Registry(config.registry).promote(second, why="test")
    assert pod_repository.fetch(config, tmp_path / "models", version=first) == Pointers(first)


def test_it_waits_for_a_champion(config, folders, tmp_path):
    waits = []

    def promote(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 2:
            Registry(config.registry).promote(publish(config, folders, "late"), why="test")

    pod_repository.fetch(config, tmp_path / "models", sleep=promote)
    assert waits == [pod_repository.POLL_S] * 2
    assert (tmp_path / "models" / "recommend" / "config.pbtxt").is_file()


def test_an_unknown_version(config, folders, tmp_path):
    version = publish(config, folders, "one")
    with pytest.raises(ConfigError, match=version):
        pod_repository.fetch(config, tmp_path / "models", version="nope")


def test_all_wanted_versions_in_one_repository(config, folders, tmp_path):
    """What the annotation says is written, whatever the registry says by then."""
    registry = Registry(config.registry)
    names = [several.publish(registry, folders)]
    for seed in (1, 2):
        source = several.differing(folders, tmp_path / str(seed), seed)
        names.append(several.publish(registry, source))
    registry.promote(names[0], why="test")
    registry.canary(names[1], 0.2, why="test")
    registry.shadow(names[2], why="test")
    annotation = registry.pointers().text()
    registry.promote(names[2], why="later")
    pod_repository.fetch(config, tmp_path / "models", version=annotation)
    numbers = {path.name for path in (tmp_path / "models" / "recommender").glob("[0-9]*")}
    assert numbers == {"1", "2", "3"}
    assert (tmp_path / "models" / "recommender" / "3" / "model.onnx").is_file()
    model = model_config_pb2.ModelConfig()
    text = (tmp_path / "models" / "recommender" / "config.pbtxt").read_text("utf-8")
    text_format.Parse(text, model)
    assert model.version_policy.HasField("all")
    assert [list(tensor.dims) for tensor in model.input if tensor.name == "profile"] == [[-1]]
    desired = Desired.read(tmp_path / "live")
    assert [entry.version for entry in desired.entries] == names
    assert (desired.canary.share, desired.canary.salt) == (0.2, names[1])
    for name in names:
        payload = {path.name for path in (tmp_path / "live" / "versions" / name).iterdir()}
        assert {"contract.json", "users.sqlite"} <= payload
        # The graph itself is asked of the model `recommender`, which holds it once.
        assert "recommender.onnx" not in payload


def test_a_damaged_canary_is_left_out(config, folders, tmp_path):
    registry = Registry(config.registry)
    first = several.publish(registry, folders)
    second = several.publish(registry, several.differing(folders, tmp_path / "b", 1))
    registry.promote(first, why="test")
    registry.canary(second, 0.2, why="test")
    path = Path(config.registry) / "versions" / second / "onnx" / "recommender.onnx"
    path.write_bytes(b"damaged")
    pod_repository.fetch(config, tmp_path / "models")
    desired = Desired.read(tmp_path / "live")
    assert (desired.champion.version, desired.canary) == (first, None)
