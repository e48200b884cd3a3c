import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from counterpoint.errors import ConfigError, DataError, SetupError
from serving.registry import Registry


def content(folder: Path, text: str) -> dict[str, Path]:
    """Source folders whose content depends on the text."""
    (folder / "onnx" / "deep").mkdir(parents=True, exist_ok=True)
    (folder / "onnx" / "graph").write_text(text, "utf-8")
    (folder / "onnx" / "deep" / "ünï 日本").write_text(text * 2, "utf-8")
    return {"onnx": folder / "onnx"}


@pytest.fixture(params=["local", "memory"])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Registry:
    root = tmp_path / "registry of mine" if request.param == "local" else f"memory://{tmp_path}"
    return Registry(str(root))


def publish(registry: Registry, folder: Path, text: str) -> str:
    return registry.publish(content(folder, text), details={"text": text}, why="test").version


def test_an_empty_registry_has_nothing(registry: Registry) -> None:
    assert registry.versions() == []
    assert registry.champion() is None
    assert registry.audit() == []


def test_a_published_version_comes_back_whole_and_is_not_champion(
    registry: Registry, tmp_path: Path
) -> None:
    version = publish(registry, tmp_path, "one")
    with registry.open(version) as folder:
        assert (folder / "onnx" / "deep" / "ünï 日本").read_text("utf-8") == "oneone"
    assert registry.champion() is None
    assert registry.status(version) == "staged"
    assert registry.get(version).details == {"text": "one"}


def test_promotion_and_rollback_walk_the_line_of_champions(
    registry: Registry, tmp_path: Path
) -> None:
    a, b, c = (publish(registry, tmp_path, text) for text in "abc")
    assert [v.number for v in registry.versions()] == [1, 2, 3]
    for version in (a, b, c):
        registry.promote(version, why="better")
    assert [registry.status(v) for v in (a, b, c)] == ["former", "former", "champion"]
    assert registry.rollback(why="bad").version == b
    assert registry.rollback(why="worse").version == a
    with pytest.raises(ConfigError, match="no former champion"):
        registry.rollback(why="nowhere to go")
    assert registry.rollback(c, why="by name").version == c
    assert registry.rollback(why="back").version == a
    actions = [(e["action"], e["version"]) for e in registry.audit()]
    assert actions == [
        *(("publish", v) for v in (a, b, c)),
        *(("promote", v) for v in (a, b, c)),
        *(("rollback", v) for v in (b, a, c, a)),
    ]
    assert all(e["who"] and e["when"] and e["why"] for e in registry.audit())


def test_promoting_the_champion_again_changes_nothing(registry: Registry, tmp_path: Path) -> None:
    a, b = (publish(registry, tmp_path, text) for text in "ab")
    registry.promote(a, why="first")
    registry.promote(b, why="second")
    registry.promote(b, why="again")
    assert registry.rollback(why="back").version == a


def test_a_refused_version_is_marked(registry: Registry, tmp_path: Path) -> None:
    version = publish(registry, tmp_path, "bad")
    registry.refuse(version, why="wrong answers")
    assert registry.status(version) == "refused"
    assert registry.audit()[-1]["why"] == "wrong answers"


@pytest.mark.parametrize("version", ["nope", "../registry", "", ".incoming-1"])
def test_an_unknown_version_is_named_with_the_known_ones(
    registry: Registry, tmp_path: Path, version: str
) -> None:
    known = publish(registry, tmp_path, "one")
    with pytest.raises(ConfigError, match=known):
        registry.promote(version, why="typo")


@pytest.mark.parametrize("damage", ["changed", "missing", "does not belong"])
def test_a_damaged_version_is_refused_and_the_champion_stays(tmp_path: Path, damage: str) -> None:
    registry = Registry(tmp_path / "registry")
    good, bad = publish(registry, tmp_path, "good"), publish(registry, tmp_path, "bad")
    registry.promote(good, why="good")
    graph = tmp_path / "registry" / "versions" / bad / "onnx" / "graph"
    if damage == "changed":
        graph.write_text("bäd", "utf-8")
    elif damage == "missing":
        graph.unlink()
    else:
        graph.with_name("extra").write_text("")
    for action in (registry.promote, registry.rollback):
        with pytest.raises(DataError, match=damage):
            action(bad, why="try")
    champion = registry.champion()
    assert champion is not None
    assert champion.version == good


def test_a_changed_list_of_files_is_noticed(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "registry")
    version = publish(registry, tmp_path, "one")
    path = tmp_path / "registry" / "versions" / version / "version.json"
    described = json.loads(path.read_text())
    described["files"].pop("onnx/graph")
    path.write_text(json.dumps(described))
    with pytest.raises(DataError, match="list of files was changed"):
        registry.get(version)
    # The damage of one version does not keep others from being published.
    assert publish(registry, tmp_path, "two") in [v.version for v in registry.versions()]


def test_missing_and_empty_folders_cannot_be_published(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    sources = {"onnx": tmp_path / "empty", "model": tmp_path / "nothing"}
    with pytest.raises(DataError, match=r"empty, .*nothing"):
        registry.publish(sources, details={}, why="test")
    assert registry.versions() == []


def test_a_torn_audit_line_loses_only_itself(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "registry")
    version = publish(registry, tmp_path, "one")
    with (tmp_path / "registry" / "audit.jsonl").open("ab") as file:
        file.write(b'{"when": "2026-')
    registry.promote(version, why="after a kill")
    assert [e["action"] for e in registry.audit()] == ["publish", "promote"]


def test_a_damaged_pointer_is_told(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "registry")
    publish(registry, tmp_path, "one")
    (tmp_path / "registry" / "champion.json").write_text("{")
    with pytest.raises(DataError, match=r"champion\.json is damaged"):
        registry.champion()


def test_an_unknown_file_system_is_a_setup_error() -> None:
    with pytest.raises(SetupError, match="nosuchfs"):
        Registry("nosuchfs://bucket/registry")


def _publish_many(root: str, folder: str, name: str) -> None:
    registry = Registry(root)
    for index in range(5):
        version = publish(registry, Path(folder) / name, f"{name}{index}")
        registry.promote(version, why=name)


def test_concurrent_writers_lose_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    root = str(tmp_path / "registry")
    workers = [
        context.Process(target=_publish_many, args=(root, str(tmp_path), name)) for name in "xyz"
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    registry = Registry(root)
    assert [v.number for v in registry.versions()] == list(range(1, 16))
    assert len(registry.audit()) == 30
    champion = registry.champion()
    assert champion is not None
    assert champion.version == registry.audit()[-1]["version"]


def test_a_killed_publication_leaves_nothing_that_is_listed(tmp_path: Path) -> None:
    """Kills a publisher at rising delays; whatever is listed must be whole."""
    (tmp_path / "onnx").mkdir()
    for index in range(40):
        (tmp_path / "onnx" / f"file{index}").write_bytes(os.urandom(200_000))
    root = tmp_path / "registry"
    program = (
        "import sys; from pathlib import Path; from serving.registry import Registry\n"
        "r = Registry(sys.argv[1]); print('go', flush=True)\n"
        "while True:\n"
        "    Path(sys.argv[2], 'file0').write_bytes(__import__('os').urandom(9))\n"
        "    new = r.publish({'onnx': Path(sys.argv[2])}, details={}, why='w')\n"
        "    r.promote(new.version, why='w')"
    )
    for delay in (0.0, 0.01, 0.03, 0.06, 0.11, 0.2):
        command = [sys.executable, "-c", program, str(root), str(tmp_path / "onnx")]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(delay)
            process.send_signal(signal.SIGKILL)
    registry = Registry(root)
    for version in registry.versions():
        with registry.open(version.version):
            pass
    before = len(registry.versions())
    (tmp_path / "onnx" / "file0").write_bytes(b"new content")
    last = registry.publish({"onnx": tmp_path / "onnx"}, details={}, why="after the kills")
    registry.promote(last.version, why="after the kills")
    assert len(registry.versions()) == before + 1
    assert not list((root / "versions").glob(".incoming-*"))
