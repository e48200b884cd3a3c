"""``counterpoint models``: one command each, tried before it counts, reported when it is done."""

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from counterpoint.config import DeployConfig
from counterpoint.errors import ServerError
from serving import controller, serve
from serving.controller import Controller
from serving.engine import live_folder
from serving.engine.live_folder import Desired, Entry
from serving.engine.versions import Versions
from serving.registry import Registry
from tests.pipelines.conftest import Run
from tests.serving import several, tiny

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def config(tmp_path: Path) -> DeployConfig:
    return DeployConfig(
        registry=str(tmp_path / "registry"),
        triton=str(tmp_path / "triton"),
        triton_env=str(ROOT / ".venv-triton"),
        start_timeout=20,
    )


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return tiny.write_version(tmp_path_factory.mktemp("version"))


@pytest.fixture
def names(config: DeployConfig, folders: dict[str, Path], tmp_path: Path) -> list[str]:
    """Versions 1 (champion) and 2, and 3, which is broken."""
    registry = Registry(config.registry)
    sources = [
        folders,
        several.differing(folders, tmp_path / "2", 2),
        several.broken(folders, tmp_path / "3"),
    ]
    found = [several.publish(registry, source) for source in sources]
    registry.promote(found[0], why="test")
    return found


@pytest.fixture
def models(
    config: DeployConfig, monkeypatch: pytest.MonkeyPatch, command_line: Run
) -> Callable[..., tuple[int, str]]:
    """Runs the command line; returns exit status and what it printed."""
    monkeypatch.setenv("COLUMNS", "400")

    def run(*arguments: str) -> tuple[int, str]:
        settings = [f"--set=deploy.{k}={v}" for k, v in config.model_dump().items() if k in GIVEN]
        done = command_line("models", *arguments, *settings)
        return done.returncode, " ".join((done.stdout + done.stderr).split())

    return run


GIVEN = ("registry", "triton", "triton_env", "start_timeout")


def actions(config: DeployConfig) -> list[tuple[str, str]]:
    return [(e["action"], e["why"]) for e in Registry(config.registry).audit()]


def test_every_command_moves_its_pointer_and_is_audited(config, names, models) -> None:
    one, two, three = names
    for arguments, says in (
        (("load", two), f"{two} loaded"),
        (("unload", two), f"champion {one}."),
        (("shadow", two), f"shadow {two}"),
        (("canary", two, "--share", "0.05"), f"canary {two} for 5.0% of users"),
        (("stop-canary",), f"champion {one}."),
        (("shadow", three), f"shadow {three}"),
        (("stop-shadow",), f"champion {one}."),
        (("promote", two), f"champion {two}."),
        (("rollback",), f"champion {one}."),
    ):
        smoke = ["--no-smoke"] if arguments[0] in ("load", "shadow", "canary", "promote") else []
        status, said = models(*arguments, *smoke, "--why", f"because {arguments[0]}")
        assert status == 0, said
        assert says in said
        assert "No server runs" in said
        assert f"because {arguments[0]}" in actions(config)[-1][1]
    status, said = models("list")
    assert said.count("champion") == 1
    assert said.count("former") == 1


def test_a_version_is_tried_before_it_counts(config, names, models) -> None:
    """With a real scratch server: the good one gets its role, the broken one is refused."""
    _, two, three = names
    status, said = models("canary", three, "--share", "0.5")
    assert status == 6
    assert "recommender.onnx" in said
    registry = Registry(config.registry)
    assert registry.pointers().versions == [names[0]]
    assert registry.status(three) == "refused"
    status, said = models("promote", two)
    assert status == 0
    assert "known user" in said
    assert registry.champion().version == two


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("canary", "VERSION", "--share", "0"), "more than 0 and at most 1"),
        (("canary", "VERSION"), "--share"),
        (("shadow", "nope"), "Unknown version 'nope'"),
        (("stop-canary",), "no canary to stop"),
        (("stop-shadow",), "no shadow to stop"),
        (("unload", "VERSION"), "not among the loaded versions"),
        (("rollback",), "no former champion"),
    ],
)
def test_mistakes_are_told_and_change_nothing(config, names, models, arguments, says) -> None:
    before = actions(config)
    given = [names[1] if a == "VERSION" else a for a in arguments]
    smoke = ["--no-smoke"] if arguments[0] == "canary" else []
    status, said = models(*given, *smoke)
    assert status == 2
    assert says in said
    assert actions(config) == before


class Engine:
    """Loads whatever onnxruntime would."""

    def __init__(self, folder: Path, entry: Entry) -> None:
        if (folder / "recommender.onnx").read_bytes() == b"no graph":
            raise ValueError("no graph")


def controlling(config, live: Path, said: list[str]) -> Controller:
    """The controller of a server with two models."""
    models = live.parent / "models"
    for name in ("recommend", "b"):
        (models / name).mkdir(parents=True, exist_ok=True)
    return Controller(Registry(config.registry), live, models=models, announce=said.append)


def test_the_fallback_stays_until_every_model_has_loaded_the_champion(config, names) -> None:
    """A model without the broken file is ready before the others have tried."""
    one, two, _ = names
    live = serve.live_path(config)
    Registry(config.registry).promote(one, why="test")
    following = controlling(config, live, [])
    following.begin()
    Registry(config.registry).promote(two, why="test")
    following.step()
    fronts = [Versions(live, lambda f, e: 0, model="b")]
    following.step()
    fallback = Desired.read(live).fallback
    assert fallback is not None and fallback.version == one
    fronts.append(Versions(live, lambda f, e: 0, model="recommend"))
    following.step()
    assert Desired.read(live).fallback is None
    for front in fronts:
        front.close()


@pytest.fixture
def followed(config, names):
    """A controller and the versions of two models, as in a running server but in this process."""
    live = serve.live_path(config)
    said: list[str] = []
    following = controlling(config, live, said)
    following.begin()
    fronts = [Versions(live, Engine, model="recommend"), Versions(live, lambda f, e: 0, model="b")]
    stop = threading.Event()
    thread = threading.Thread(target=following.run, args=(stop,), kwargs={"seconds": 0.02})
    following.step()
    thread.start()
    yield live, said
    stop.set()
    thread.join()
    for front in fronts:
        front.close()


def test_a_running_server_is_waited_for(config, names, models, followed) -> None:
    one, two, _ = names
    status, said = models("promote", two, "--no-smoke")
    assert status == 0
    assert f"The server now answers with champion {two}" in said
    status, said = models("canary", one, "--share", "0.25", "--no-smoke")
    assert f"answers with champion {two}, canary {one} for 25.0% of the users" in said
    status, said = models("rollback")
    assert f"The server now answers with champion {one}" in said


def test_what_the_server_cannot_load_is_an_error_and_all_models_agree(
    config, names, models, followed
) -> None:
    one, two, three = names
    live, _ = followed
    status, said = models("promote", three, "--no-smoke")
    assert status == 6
    assert f"cannot load {three} and answers with champion {one}" in said
    assert "no graph" in said
    registry = Registry(config.registry)
    # The model that could load it follows the others back.
    wait(lambda: {s["champion"] for s in live_folder.statuses(live)} == {one})
    status, said = models("canary", two, "--share", "0.5", "--no-smoke")
    assert {s["champion"] for s in live_folder.statuses(live)} == {one}
    assert Desired.read(live).champion.version == one
    assert registry.champion().version == three
    status, said = models("rollback")
    assert status == 0
    assert json.loads((live / controller.STATUS).read_text())["errors"] == {}


def test_a_fault_of_the_registry_is_told_once_and_its_end_too(config, names, followed) -> None:
    live, said = followed
    pointer = Path(config.registry) / "shadow.json"
    live_folder.write_text(pointer, "{")
    wait(lambda: any("shadow.json is damaged" in line for line in said))
    Registry(config.registry).promote(names[1], why="test")
    wait(lambda: {s["champion"] for s in live_folder.statuses(live)} == {names[1]})
    pointer.unlink()
    wait(lambda: "The registry is followed again." in said)
    assert sum("shadow.json is damaged" in line for line in said) == 1


def wait(condition: Callable[[], bool]) -> None:
    end = threading.Event()
    for _ in range(2000):
        if condition():
            return
        end.wait(0.01)
    raise AssertionError("waited in vain")


def test_a_server_that_ends_meanwhile_is_told(config, names, tmp_path) -> None:
    from serving import running
    from serving.pointers import Pointers

    live = tmp_path / "live"
    live.mkdir()
    status = {"pid": os.getpid(), "started": live_folder.started(os.getpid())}
    (live / controller.STATUS).write_text(json.dumps({**status, "pointers": "x", "errors": {}}))
    gone = threading.Timer(0.2, (live / controller.STATUS).unlink)
    gone.start()
    with pytest.raises(ServerError, match="stopped before it had followed"):
        running.wait(live, Pointers("a"), timeout=20)
