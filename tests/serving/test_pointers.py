"""Champion, canary, shadow: every sequence of commands, also a killed one, leaves a sound state."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoint.errors import ConfigError, DataError
from serving.pointers import Canary, Pointers
from serving.registry import Registry
from tests.serving.test_registry import publish

NAMES = "abc"
STEPS = st.one_of(
    st.tuples(st.just("promote"), st.sampled_from(NAMES)),
    st.tuples(st.just("rollback"), st.sampled_from([None, *NAMES])),
    st.tuples(st.just("canary"), st.sampled_from(NAMES), st.sampled_from([0.1, 0.5, 1.0])),
    st.tuples(st.just("shadow"), st.sampled_from(NAMES)),
    st.tuples(st.just("load"), st.sampled_from(NAMES)),
    st.tuples(st.just("unload"), st.sampled_from(NAMES)),
    st.tuples(st.just("end_canary")),
    st.tuples(st.just("end_shadow")),
)


@pytest.fixture(params=["local", "memory"])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Registry:
    root = tmp_path / "registry" if request.param == "local" else f"memory://{tmp_path}"
    return Registry(str(root))


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Registry, dict[str, str]]:
    folder = tmp_path_factory.mktemp("versions")
    found = Registry(folder / "registry")
    return found, {name: publish(found, folder, name) for name in NAMES}


def test_a_canary_grows_and_becomes_champion(registry: Registry, tmp_path: Path) -> None:
    a, b = (publish(registry, tmp_path, text) for text in "ab")
    registry.promote(a, why="first")
    assert registry.pointers() == Pointers(a)
    small = registry.canary(b, 0.05, why="try")
    assert registry.pointers() == Pointers(a, Canary(b, 0.05, b))
    assert registry.status(b) == "canary 0.05"
    assert registry.canary(b, 0.5, why="more").salt == small.salt
    registry.promote(b, why="good")
    assert registry.pointers() == Pointers(b)
    assert registry.rollback(why="not so good").version == a
    assert [e["action"] for e in registry.audit()][2:] == [
        *("promote", "canary", "canary", "promote", "rollback"),
    ]
    assert "share 0.05" in registry.audit()[3]["why"]


def test_a_shadow_is_independent_of_the_canary(registry: Registry, tmp_path: Path) -> None:
    a, b, c = (publish(registry, tmp_path, text) for text in "abc")
    registry.promote(a, why="first")
    registry.canary(b, 1, why="try", salt="x")
    registry.shadow(c, why="watch")
    wanted = registry.pointers()
    assert wanted == Pointers(a, Canary(b, 1, "x"), c)
    assert wanted.versions == [a, b, c]
    assert registry.status(c) == "shadow"
    assert registry.end_canary(why="enough") == b
    assert registry.pointers() == Pointers(a, None, c)
    registry.promote(c, why="better")
    assert registry.pointers() == Pointers(c)
    for stop in (registry.end_canary, registry.end_shadow):
        with pytest.raises(ConfigError, match="to stop"):
            stop(why="nothing")


def test_a_loaded_version_waits_for_a_role(registry: Registry, tmp_path: Path) -> None:
    a, b, c = (publish(registry, tmp_path, text) for text in "abc")
    registry.promote(a, why="first")
    for version in (b, c):
        registry.load(version, why="soon")
    assert registry.pointers() == Pointers(a, loaded=(b, c))
    assert registry.status(c) == "loaded"
    registry.promote(b, why="now")
    assert registry.pointers() == Pointers(b, loaded=(c,))
    registry.unload(c, why="not needed")
    assert registry.pointers() == Pointers(b)
    with pytest.raises(ConfigError, match="not among the loaded"):
        registry.unload(c, why="again")


@pytest.mark.parametrize("share", [0, -0.1, 1.01, float("nan")])
def test_a_wrong_share_is_refused(registry: Registry, tmp_path: Path, share: float) -> None:
    a, b = (publish(registry, tmp_path, text) for text in "ab")
    registry.promote(a, why="first")
    with pytest.raises(ConfigError, match="out of range"):
        registry.canary(b, share, why="typo")
    assert registry.pointers() == Pointers(a)


def test_beside_nothing_and_beside_itself(registry: Registry, tmp_path: Path) -> None:
    version = publish(registry, tmp_path, "one")
    assert registry.pointers() is None
    with pytest.raises(ConfigError, match="no champion"):
        registry.canary(version, 0.1, why="too early")
    registry.promote(version, why="first")
    with pytest.raises(ConfigError, match="as its champion"):
        registry.shadow(version, why="itself")


def test_a_damaged_version_becomes_neither(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "registry")
    a, b = (publish(registry, tmp_path, text) for text in "ab")
    registry.promote(a, why="first")
    (tmp_path / "registry" / "versions" / b / "onnx" / "graph").write_text("other")
    with pytest.raises(DataError, match="damaged"):
        registry.canary(b, 0.1, why="try")
    with pytest.raises(DataError, match="damaged"):
        registry.shadow(b, why="try")
    assert registry.pointers() == Pointers(a)


@pytest.mark.parametrize("content", ["{", "[]", '{"version": "b", "share": 7, "salt": ""}'])
def test_a_damaged_canary_keeps_no_champion_out(tmp_path: Path, content: str) -> None:
    registry = Registry(tmp_path / "registry")
    a, b = (publish(registry, tmp_path, text) for text in "ab")
    registry.promote(a, why="first")
    (tmp_path / "registry" / "canary.json").write_text(content)
    registry.promote(b, why="second")
    pointers = registry.pointers()
    assert pointers == Pointers(b)
    assert "canary.json is damaged" in pointers.faults[0]
    with pytest.raises(DataError, match="start the canary again"):
        registry.end_canary(why="stop")


@settings(max_examples=60, deadline=None)
@given(st.lists(STEPS, max_size=8))
def test_every_sequence_leaves_a_sound_state(
    versions: tuple[Registry, dict[str, str]], steps: list[tuple[object, ...]]
) -> None:
    """A refused command changes nothing; no version has two roles; every change is logged."""
    registry, names = versions
    for name in ("champion.json", "canary.json", "shadow.json", "loaded.json", "audit.jsonl"):
        Path(registry._storage.root, name).unlink(missing_ok=True)
    for action, *arguments in steps:
        before, notes = registry.pointers(), len(registry.audit())
        resolved = [names.get(value, value) for value in arguments]
        try:
            getattr(registry, str(action))(*resolved, why="test")
        except ConfigError:
            assert registry.pointers() == before
            assert len(registry.audit()) == notes
        after = registry.pointers()
        if after != before:
            assert len(registry.audit()) == notes + 1
        if after is not None:
            roles = [after.champion, after.canary and after.canary.version]
            assert None in roles or len(set(roles)) == 2
            assert after.champion not in (after.shadow, *after.loaded)
            assert Pointers.parse(after.text()) == after
            assert registry.status(after.champion) == "champion"


def test_a_kill_at_any_moment_leaves_a_sound_state(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "registry")
    a, b = (publish(registry, tmp_path, text) for text in "ab")
    registry.promote(a, why="first")
    program = (
        "import sys; from serving.registry import Registry\n"
        "r, a, b = Registry(sys.argv[1]), *sys.argv[2:]; print('go', flush=True)\n"
        "while True:\n"
        "    r.canary(b, .3, why='w'); r.shadow(b, why='w'); r.promote(b, why='w')\n"
        "    r.canary(a, .3, why='w'); r.rollback(why='w'); r.rollback(b, why='w')\n"
        "    r.rollback(a, why='w')"
    )
    for delay in (0.0, 0.003, 0.007, 0.013, 0.02, 0.05):
        command = [sys.executable, "-c", program, str(tmp_path / "registry"), a, b]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(delay)
            process.send_signal(signal.SIGKILL)
        pointers = registry.pointers()
        assert pointers is not None
        assert not pointers.faults
        assert pointers.canary is None or pointers.canary.version != pointers.champion
        # What serves is what the log says last, or the step before it: never something unsaid.
        said = [e["version"] for e in registry.audit() if e["action"] in ("promote", "rollback")]
        assert pointers.champion in said[-2:]
        registry.rollback(a, why="after the kill")


@pytest.mark.parametrize("text", ["{", '{"champion": "a", "canary": {"version": "b"}}', "{}"])
def test_a_damaged_line_is_told(text: str) -> None:
    with pytest.raises(DataError, match="does not say which versions"):
        Pointers.parse(text)
    assert json.loads(Pointers("a", shadow="b").text())["shadow"] == "b"
