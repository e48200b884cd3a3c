"""Versions beside each other: what is swapped, when, and what a broken one leaves alone."""

import gc
import json
import os
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from serving.engine import live_folder
from serving.engine.live_folder import Desired, Entry
from serving.engine.versions import LOOK_SECONDS, Versions


class Engine:
    """Knows which folder it came from."""

    def __init__(self, folder: Path, entry: Entry) -> None:
        self.text = (folder / "text").read_text()
        self.closed = False
        if self.text == "broken":
            raise RuntimeError("no graph")

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def live(tmp_path: Path) -> Path:
    for name in "abcd":
        folder = live_folder.payload(tmp_path, name)
        folder.mkdir(parents=True)
        (folder / "text").write_text(f"payload {name}")
    return tmp_path


@pytest.fixture
def start(live: Path) -> Iterator[Callable[..., Versions[Engine]]]:
    made: list[Versions[Engine]] = []

    def begin(desired: Desired, load: Callable[[Path, Entry], Engine] = Engine) -> Versions[Engine]:
        desired.write(live)
        made.append(Versions(live, load))
        return made[-1]

    yield begin
    for versions in made:
        versions.close()


def entry(name: str, **canary: object) -> Entry:
    return Entry(name, "abcd".index(name) + 1, **canary)


def status(live: Path) -> dict[str, object]:
    (found,) = live_folder.statuses(live)
    return found


def await_status(live: Path, wanted: Desired) -> dict[str, object]:
    """Write what is desired and wait until the versions have dealt with it."""
    wanted.write(live)
    end = time.monotonic() + 20
    while time.monotonic() < end:
        if status(live)["desired"] == live_folder.signature(live):
            return status(live)
        time.sleep(0.01)
    raise AssertionError(status(live))


def test_the_champion_answers_when_the_constructor_returns(live, start) -> None:
    now = start(Desired(entry("a"))).current()
    assert (now.champion.version, now.champion.number) == ("a", 1)
    assert now.champion.engine.text == "payload a"
    assert now.canary is None
    assert now.shadow is None
    assert status(live)["champion"] == "a"
    assert status(live)["pid"] == os.getpid()


def test_a_champion_that_cannot_be_loaded_is_no_start(live, start) -> None:
    (live_folder.payload(live, "a") / "text").write_text("broken")
    with pytest.raises(RuntimeError, match="no graph"):
        start(Desired(entry("a")))
    with pytest.raises(FileNotFoundError):
        Versions(live / "nowhere", Engine)


def test_the_fallback_serves_for_a_champion_that_cannot_be_loaded(live, start) -> None:
    (live_folder.payload(live, "a") / "text").write_text("broken")
    versions = start(Desired(entry("a"), entry("c", share=0.5, salt="x"), fallback=entry("b")))
    assert versions.current().champion.version == "b"
    assert versions.current().canary.version == "c"
    assert "no graph" in status(live)["errors"]["a"]


def test_roles_change_without_loading_again(live, start) -> None:
    loads: list[str] = []

    def load(folder: Path, entry: Entry) -> Engine:
        loads.append(entry.version)
        return Engine(folder, entry)

    versions = start(Desired(entry("a"), loaded=(entry("c"),)), load)
    await_status(live, Desired(entry("a"), entry("b", share=0.25, salt="s"), entry("c")))
    now = versions.current()
    assert (now.canary.version, now.share, now.salt) == ("b", 0.25, "s")
    assert now.shadow.version == "c"
    found = await_status(live, Desired(entry("b"), entry("c", share=1.0, salt="t"), entry("a")))
    assert found["loaded"] == ["a", "b", "c"]
    assert found["canary"] == {"version": "c", "share": 1.0}
    assert loads == ["a", "c", "b"]
    assert now.champion.version == "a"  # A request that began before keeps what it had.


def test_a_broken_version_leaves_the_others_alone(live, start) -> None:
    versions = start(Desired(entry("a"), entry("b", share=0.5, salt="s")))
    (live_folder.payload(live, "c") / "text").write_text("broken")
    found = await_status(live, Desired(entry("c"), entry("b", share=0.5, salt="s"), entry("d")))
    assert found["errors"] == {"c": "RuntimeError: no graph"}
    now = versions.current()
    assert [now.champion.version, now.canary.version, now.shadow.version] == ["a", "b", "d"]
    found = await_status(live, Desired(entry("a"), entry("c", share=0.5, salt="s")))
    assert versions.current().canary is None
    # Mended, it is tried again as soon as it is desired again.
    (live_folder.payload(live, "c") / "text").write_text("mended")
    await_status(live, Desired(entry("c")))
    assert versions.current().champion.engine.text == "mended"
    assert status(live)["errors"] == {}


@pytest.mark.parametrize("content", ["{", "{}", "[]", '{"champion": {"versoin": "b"}}'])
def test_a_damaged_file_changes_nothing(live, start, content: str) -> None:
    versions = start(Desired(entry("a")))
    live_folder.write_text(live / "desired.json", content)
    end = time.monotonic() + 20
    while not status(live)["errors"] and time.monotonic() < end:
        time.sleep(0.01)
    assert "desired.json" in status(live)["errors"]
    assert versions.current().champion.version == "a"
    (live / "desired.json").unlink()
    await_status(live, Desired(entry("b")))
    assert versions.current().champion.version == "b"


def test_what_is_not_wanted_is_freed_when_its_last_request_is_done(live, start) -> None:
    versions = start(Desired(entry("a")))
    request = versions.current()
    gone = weakref.ref(request.champion.engine)
    await_status(live, Desired(entry("b")))
    gc.collect()
    time.sleep(3 * LOOK_SECONDS)
    assert not request.champion.engine.closed
    closed: list[bool] = []
    request.champion.engine.close = lambda: closed.append(True)
    del request
    end = time.monotonic() + 20
    while gone() is not None and time.monotonic() < end:
        time.sleep(0.01)
    assert gone() is None  # No cycle keeps it.
    assert closed == [True]


def test_requests_never_wait_for_a_slow_load(live, start) -> None:
    """While "b" is being loaded, "a" answers; the swap comes in one step."""
    loading, go_on = threading.Event(), threading.Event()

    def load(folder: Path, entry: Entry) -> Engine:
        if entry.version == "b":
            loading.set()
            assert go_on.wait(20)
        return Engine(folder, entry)

    versions = start(Desired(entry("a")), load)
    Desired(entry("b"), entry("c", share=0.5, salt="s")).write(live)
    assert loading.wait(20)
    assert versions.current().champion.version == "a"
    assert versions.current().canary is None
    go_on.set()
    await_status(live, Desired(entry("b"), entry("c", share=0.5, salt="s")))
    assert versions.current().champion.version == "b"
    assert versions.current().canary.version == "c"


def test_swaps_under_concurrent_requests_are_never_mixed(live, start) -> None:
    """Readers see only states that were desired, also while broken versions come by."""
    (live_folder.payload(live, "d") / "text").write_text("broken")
    versions = start(Desired(entry("a"), entry("b", share=0.5, salt="b")))
    allowed = {("a", "b", "b"), ("b", "c", "c"), ("c", "a", "a"), ("a", None, "d")}
    seen: set[tuple[str, str | None, str]] = set()
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            now = versions.current()
            assert now.champion.engine.text == f"payload {now.champion.version}"
            seen.add((now.champion.version, now.canary and now.canary.version, now.salt))

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for champion, canary in ["ab", "bc", "ca", "ad"] * 3:
        await_status(live, Desired(entry(champion), entry(canary, share=0.5, salt=canary)))
    stop.set()
    for reader in readers:
        reader.join()
    assert seen <= allowed
    assert len(seen) >= 3


def test_the_files_of_dead_processes_do_not_count(live, start) -> None:
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    about = {"pid": done.pid, "started": 5, "champion": "old"}
    (live / "status-1-recommend.json").write_text(json.dumps(about))
    # A living process with the number of a dead one.
    about = {"pid": os.getppid(), "started": 5, "champion": "old"}
    (live / "status-2-recommend.json").write_text(json.dumps(about))
    assert live_folder.statuses(live) == []
    versions = start(Desired(entry("a")))
    assert [s["champion"] for s in live_folder.statuses(live)] == ["a"]
    assert len(list(live.glob("status-*"))) == 1
    versions.close()
    assert not list(live.glob("status-*"))


def test_writing_the_same_again_changes_nothing(live: Path) -> None:
    desired = Desired(entry("a"), entry("b", share=0.1, salt="ü"), entry("c"), (entry("d"),))
    desired.write(live)
    before = live_folder.signature(live)
    desired.write(live)
    assert live_folder.signature(live) == before
    assert Desired.read(live) == desired


def test_it_runs_in_the_environment_of_triton(triton_env: Path) -> None:
    root = Path(__file__).resolve().parents[3]
    program = (
        f"import sys; sys.path.insert(0, {str(root)!r})\n"
        "import serving.engine.routing, serving.engine.shadow\n"
        "assert not {'polars', 'numpy', 'pydantic'} & set(sys.modules)"
    )
    subprocess.run([triton_env / "bin" / "python", "-I", "-c", program], check=True)
