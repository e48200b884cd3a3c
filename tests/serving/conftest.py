"""One deployed tiny version and one running tritonserver for all serving tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from counterpoint.config.serve import DeployConfig
from serving import deploy, repository
from serving.client import RecommendClient
from serving.deploy import DeployResult
from serving.in_process import InProcess
from serving.serve import champion_server
from serving.server import TritonServer
from tests.serving import tiny

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def triton_env() -> Path:
    return ROOT / ".venv-triton"


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folders of a tiny version; not to be changed by tests."""
    return tiny.write_version(tmp_path_factory.mktemp("version"))


@pytest.fixture(scope="session")
def deployed(
    folders: dict[str, Path], triton_env: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[DeployConfig, DeployResult]:
    """A registry with a champion, below a path with a space in it; not to be changed by tests."""
    state = tmp_path_factory.mktemp("state with space")
    config = DeployConfig(
        registry=str(state / "registry"),
        triton=str(state / "triton"),
        triton_env=str(triton_env),
        live_items=str(state / "live" / "items.sqlite"),
    )
    return config, deploy.run(config, **folders)


@pytest.fixture(scope="session")
def server(deployed: tuple[DeployConfig, DeployResult]) -> Iterator[TritonServer]:
    with champion_server(deployed[0]) as running:
        yield running


@pytest.fixture(scope="session")
def client(server: TritonServer) -> Iterator[RecommendClient]:
    with RecommendClient(server.url, timeout=30) as connected:
        yield connected


@pytest.fixture(scope="session")
def local(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> InProcess:
    """The tiny models in this process."""
    return in_process(folders, tmp_path_factory.mktemp("local") / "models", {"version": "v1"})


def in_process(folders: dict[str, Path], target: Path, options: dict[str, str]) -> InProcess:
    repository.write(folders["onnx"].parent, target, form="local", number=1, options=options)
    return InProcess(target, number=1, options=options)
