"""``counterpoint serve`` with the real tritonserver: swaps, canary, shadow, kills, rollback."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from counterpoint.config.serve import DeployConfig
from counterpoint.errors import CounterpointError, ServerError, SetupError
from serving import running, serve
from serving.client import RecommendClient
from serving.engine import live_folder, routing
from serving.in_process import InProcess
from serving.registry import Registry
from serving.restarts import DELAYS, LIMIT, WINDOW_SECONDS, Restarts
from tests.serving import several
from tests.serving.conftest import in_process
from tests.serving.test_recommend import ask
from tests.serving.test_server import alive

PROGRAM = (
    "import sys; from counterpoint.config.serve import DeployConfig; from serving import serve\n"
    "from serving.server import Ports\n"
    "serve.run(DeployConfig.model_validate_json(sys.argv[1]), ports=Ports(),\n"
    "          announce=lambda text: print(text, flush=True))"
)
USERS = ["anna", "бо́рис", "long", "profile only", "nobody", "stranger", ""]


@dataclass
class Served:
    """A running ``serve`` and what its versions answer."""

    config: DeployConfig
    names: dict[str, str]
    expected: dict[str, dict[str, list[str]]]
    process: subprocess.Popen[str]
    said: list[str] = field(default_factory=list)

    @property
    def registry(self) -> Registry:
        return Registry(self.config.registry)

    @property
    def live(self) -> Path:
        return serve.live_path(self.config)

    @property
    def url(self) -> str:
        found = re.search(r"gRPC (\S+),", " ".join(self.said))
        assert found, self.said
        return found[1]

    def await_said(self, text: str, count: int = 1) -> None:
        end = time.monotonic() + 90
        while sum(text in line for line in self.said) < count and time.monotonic() < end:
            time.sleep(0.02)
        assert sum(text in line for line in self.said) >= count, (text, self.said)

    def follow(self) -> running.Followed:
        pointers = self.registry.pointers()
        assert pointers is not None
        followed = running.wait(self.live, pointers, timeout=60)
        assert followed is not None
        return followed

    def metric(self, name: str, *labels: str) -> float:
        found = re.search(r"metrics (\S+)/metrics", " ".join(self.said))
        assert found, self.said
        with urllib.request.urlopen(f"{found[1]}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        samples = [line for line in lines if line.startswith(f"counterpoint_{name}")]
        return sum(
            float(s.rsplit(" ", 1)[1]) for s in samples if all(label in s for label in labels)
        )

    def await_metric(self, value: float, name: str, *labels: str) -> None:
        end = time.monotonic() + 10
        while self.metric(name, *labels) != value and time.monotonic() < end:
            time.sleep(0.1)
        assert self.metric(name, *labels) == value

    def log(self) -> str:
        return (Path(self.config.triton) / "tritonserver.log").read_text("utf-8", "replace")


@pytest.fixture(scope="module")
def served(
    folders: dict[str, Path], triton_env: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """A server below a path with a space, with champion "a"; versions "b", "c" and a broken "x"."""
    state = tmp_path_factory.mktemp("serve with space")
    config = DeployConfig(
        registry=str(state / "registry"),
        triton=str(state / "triton"),
        triton_env=str(triton_env),
        poll_seconds=0.1,
    )
    registry = Registry(config.registry)
    sources = {"a": folders}
    sources |= {name: several.differing(folders, state / name, ord(name)) for name in "bc"}
    names = {name: several.publish(registry, source) for name, source in sources.items()}
    names["x"] = several.publish(registry, several.broken(folders, state / "x"))
    expected = {}
    for name, source in sources.items():
        models = in_process(source, state / f"{name} models", {"version": names[name]})
        expected[names[name]] = {user: items(models, user) for user in USERS}
    assert len({json.dumps(answers) for answers in expected.values()}) == 3
    registry.promote(names["a"], why="test")
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, config.model_dump_json()],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUTF8": "1"},
    )
    found = Served(config, names, expected, process)
    reader = threading.Thread(target=_read, args=(found,), daemon=True)
    reader.start()
    try:
        found.await_said("Stop with Ctrl-C")
        yield found
    finally:
        process.terminate()
        process.wait(60)


def _read(served: Served) -> None:
    assert served.process.stdout is not None
    for line in served.process.stdout:
        served.said.append(line.rstrip())


def items(models: InProcess, user: str) -> list[str]:
    found: list[str] = ask(models, **({"user_id": user} if user else {}))["item_id"]
    return found


@pytest.fixture
def again(served: Served) -> Iterator[Served]:
    """The server with champion "a" alone."""
    pointers = served.registry.pointers()
    assert pointers is not None
    for stop in (served.registry.end_canary, served.registry.end_shadow):
        try:
            stop(why="next test")
        except CounterpointError:
            continue
    served.registry.promote(served.names["a"], why="next test")
    served.follow()
    yield served


class Callers:
    """Threads that ask all the time; every answer must be that of the version it names."""

    def __init__(self, served: Served, threads: int = 4, timeout: float = 10) -> None:
        self.served = served
        self.versions: Counter[str] = Counter()
        self.wrong: list[Any] = []
        self.failed: list[str] = []
        self._timeout = timeout
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(i,)) for i in range(threads)]

    def __enter__(self) -> "Callers":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def await_answer(self, version: str) -> None:
        """Wait until a version has answered once more."""
        before, end = self.versions[version], time.monotonic() + 60
        while self.versions[version] == before:
            assert time.monotonic() < end, f"nobody was answered by {version}"
            time.sleep(0.005)

    def _ask(self, index: int) -> None:
        with RecommendClient(self.served.url, timeout=self._timeout) as client:
            while not self._stop.is_set():
                user = USERS[index % len(USERS)]
                index += 1
                try:
                    answer = client.recommend(user=user)
                except CounterpointError as error:
                    self.failed.append(str(error))
                    continue
                self.versions[answer.model_version] += 1
                got = [item.item_id for item in answer.items]
                if got != self.served.expected[answer.model_version][user]:
                    self.wrong.append((user, answer.model_version, got))


def test_swaps_under_load_lose_and_mix_nothing(again: Served) -> None:
    """Twenty swaps, a broken version among them."""
    a, b, c, x = (again.names[name] for name in "abcx")
    seconds = []
    with Callers(again) as callers:
        for version in [b, c, a, x, b, a, c, b, a, b, c, a, b, c, a, b, c, a, b, a]:
            again.registry.promote(version, why="test")
            followed = again.follow()
            seconds.append(followed.seconds)
            assert set(followed.errors) == ({x} if version == x else set())
            if version != x:
                callers.await_answer(version)
    assert callers.failed == []
    assert callers.wrong == []
    assert set(callers.versions) == {a, b, c}
    print(f"\n{sum(callers.versions.values())} answers, slowest swap {max(seconds):.2f} s")


def test_a_canary_answers_its_share_and_always_the_same_users(again: Served) -> None:
    a, b = again.names["a"], again.names["b"]
    again.registry.canary(b, 0.3, why="test", salt="s")
    again.follow()
    users = [f"user {index}" for index in range(300)]
    with RecommendClient(again.url, timeout=30) as client:
        answered = {user: client.recommend(user=user).model_version for user in users}
        wanted = {u: b if routing.position("s", u) < 0.3 else a for u in users}
        assert answered == wanted
        again.registry.canary(b, 0.6, why="test")
        again.follow()
        more = {user: client.recommend(user=user).model_version for user in users}
        assert all(more[user] == b for user in users if answered[user] == b)
        assert 0.5 < list(more.values()).count(b) / len(users) < 0.7
        again.await_metric(1, "version_served", 'role="canary"', f'version="{b}"')
        canaries = list(answered.values()).count(b) + list(more.values()).count(b)
        again.await_metric(canaries, "answers_total", 'role="canary"', f'version="{b}"')
        nobody = Counter(client.recommend().model_version for _ in range(60))
        assert set(nobody) == {a, b}
        again.registry.end_canary(why="test")
        again.follow()
        assert {client.recommend(user=user).model_version for user in users[:50]} == {a}
        again.await_metric(0, "version_served", 'role="canary"', f'version="{b}"')


def test_a_shadow_is_only_logged(again: Served) -> None:
    a, c = again.names["a"], again.names["c"]
    again.registry.shadow(c, why="test")
    again.follow()
    before = again.log().count('"served_seconds"')
    copies = again.metric("shadow_answers_total")
    with RecommendClient(again.url, timeout=30) as client:
        for _ in range(20):
            assert client.recommend(user="anna").model_version == a
            time.sleep(0.01)
    end = time.monotonic() + 20
    while again.log().count('"served_seconds"') < before + 20 and time.monotonic() < end:
        time.sleep(0.05)
    lines = [line for line in again.log().splitlines() if '"served_seconds"' in line][before:]
    assert len(lines) == 20
    told = json.loads(lines[-1][lines[-1].index("{") :])
    shown, other = (set(again.expected[version]["anna"]) for version in (a, c))
    assert (told["served"], told["shadow"]) == (a, c)
    again.await_metric(copies + 20, "shadow_answers_total")
    again.await_metric(1, "version_served", 'role="shadow"', f'version="{c}"')
    assert told["overlap"] == pytest.approx(len(shown & other) / len(shown))


def test_a_promotion_ends_the_canary_and_rollback_returns(again: Served) -> None:
    a, b = again.names["a"], again.names["b"]
    again.registry.load(b, why="test")
    assert {b} <= set(again.follow().statuses[0]["loaded"])
    again.registry.canary(b, 0.5, why="test")
    again.follow()
    again.registry.promote(b, why="test")
    (front,) = [s for s in again.follow().statuses if s["model"] == "recommend"]
    assert (front["champion"], front["canary"]) == (b, None)
    again.registry.rollback(why="test")
    assert {s["champion"] for s in again.follow().statuses} == {a}
    payloads = {path.name for path in (again.live / "versions").iterdir()}
    assert payloads <= {a, b}


def test_a_killed_server_comes_back(again: Served) -> None:
    """kill -9 of tritonserver, of its supervisor, and of the process that answers."""
    for number, victim in enumerate(("tritonserver --model", "supervisor.py", "stub"), 1):
        with Callers(again, threads=1, timeout=2) as callers:
            _kill(again, victim)
            again.await_said("answers again", count=number)
            _await_answer(again)
        assert callers.wrong == []


def _await_answer(served: Served) -> None:
    end = time.monotonic() + 60
    with RecommendClient(served.url, timeout=2) as client:
        while True:
            try:
                assert client.recommend(user="anna").model_version == served.names["a"]
                return
            except ServerError:
                assert time.monotonic() < end
                time.sleep(0.05)


def _kill(served: Served, victim: str) -> None:
    if victim == "stub":
        (front,) = [s for s in live_folder.statuses(served.live) if s["model"] == "recommend"]
        os.kill(front["pid"], signal.SIGKILL)
        return
    children = Path(f"/proc/{served.process.pid}/task/{served.process.pid}/children")
    (supervisor,) = map(int, children.read_text().split())
    if victim == "supervisor.py":
        os.kill(supervisor, signal.SIGKILL)
        return
    below = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
    (server,) = [int(pid) for pid in below]
    os.kill(server, signal.SIGKILL)


def test_a_broken_champion_does_not_keep_a_killed_server_down(again: Served) -> None:
    a, x = again.names["a"], again.names["x"]
    starts = sum("answers again" in line for line in again.said)
    again.registry.promote(x, why="test")
    assert x in again.follow().errors
    _kill(again, "tritonserver --model")
    again.await_said("answers again", count=starts + 1)
    with RecommendClient(again.url, timeout=30) as client:
        assert client.recommend(user="anna").model_version == a


@pytest.mark.parametrize("damage", ["{", None])
def test_a_damaged_registry_changes_nothing_and_is_told_once(
    again: Served, damage: str | None
) -> None:
    pointer = Path(again.config.registry) / "champion.json"
    before, told = pointer.read_bytes(), sum("cannot be followed" in s for s in again.said)
    if damage is None:
        pointer.unlink()
    else:
        live_folder.write_text(pointer, damage)
    again.await_said("cannot be followed", count=told + 1)
    time.sleep(10 * again.config.poll_seconds)
    assert sum("cannot be followed" in line for line in again.said) == told + 1
    with RecommendClient(again.url, timeout=30) as client:
        assert client.recommend(user="anna").model_version == again.names["a"]
    pointer.write_bytes(before)
    again.await_said("followed again")
    again.registry.promote(again.names["b"], why="test")
    assert {s["champion"] for s in again.follow().statuses} == {again.names["b"]}


def test_a_second_server_on_the_same_folder_is_refused(again: Served) -> None:
    with pytest.raises(SetupError, match=r"deploy\.triton"):
        serve.run(again.config, announce=print)


def test_nobody_waits_where_no_server_runs(again: Served, tmp_path: Path) -> None:
    pointers = again.registry.pointers()
    assert pointers is not None
    assert running.wait(tmp_path, pointers, timeout=1) is None
    with pytest.raises(ServerError, match="has not followed"):
        running.wait(again.live, type(pointers)("another"), timeout=0.3)


def test_sigterm_ends_everything_cleanly(served: Served) -> None:
    """The last test of this server."""
    marker = str(served.process.pid)
    scratch = {path for path in Path("/tmp").glob("counterpoint-triton-*") if _mine(path, marker)}
    served.process.send_signal(signal.SIGTERM)
    assert served.process.wait(60) == 0
    assert served.said[-1] == "tritonserver stopped."
    assert alive(str(Path(served.config.triton).name + "/never")) == []
    assert not any(path.exists() for path in scratch)
    assert live_folder.statuses(served.live) == []
    assert not running.is_running(served.live)


def _mine(path: Path, marker: str) -> bool:
    try:
        return marker in (path / "models").resolve().as_posix()
    except OSError:
        return False


def test_a_crash_loop_ends_with_the_log() -> None:
    restarts = Restarts()
    delays = [restarts.delay(float(second), "log") for second in range(LIMIT)]
    assert delays == list(DELAYS)
    with pytest.raises(ServerError, match=r"ended 6 times within 60 s[\s\S]*the log"):
        restarts.delay(6.0, "the log")
    calm = Restarts()
    for number in range(20):
        assert calm.delay(number * (WINDOW_SECONDS + 1), "log") == 0


def test_what_cannot_be_served_is_told_before_anything_starts(
    triton_env: Path, tmp_path: Path
) -> None:
    config = DeployConfig(
        registry=str(tmp_path / "none"), triton=str(tmp_path / "t"), triton_env=str(triton_env)
    )
    said: list[str] = []
    note: Callable[[str], None] = said.append
    with pytest.raises(CounterpointError, match="no champion"):
        serve.run(config, announce=note)
    assert said == []
