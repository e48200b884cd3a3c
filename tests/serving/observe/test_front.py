"""What the front `recommend` tells its observer, with several versions and live items."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from serving import repository
from serving.engine import live_folder, routing
from serving.engine.live_folder import Desired, Entry
from serving.models.recommend import Runtime
from serving.observe.observer import STAGES, Answered, Silent
from serving.spec import Arrays, InvalidInput
from tests.serving import several, tiny
from tests.serving.conftest import in_process
from tests.serving.test_catalogue import change
from tests.serving.test_recommend import request
from tests.serving.test_rules import rules

TRACE = f"{'a' * 31}1"
PARENT = {"traceparent": f"00-{TRACE}-{'b' * 16}-01"}


class Recorder(Silent):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.stages: list[str] = []
        self.answers: list[Answered] = []
        self.refusals: list[tuple[str, str]] = []
        self.served: list[tuple[str, str, str]] = []
        self.failures: list[str] = []
        self.overlaps: list[float] = []
        self.finished = 0

    def stage(self, name: str, seconds: float) -> None:
        assert seconds >= 0
        self.stages.append(name)

    def answered(self, answer: Answered) -> None:
        self.answers.append(answer)

    def refused(self, message: str, trace: Any) -> None:
        self.refusals.append((message, trace.trace_id))

    def failed(self, error: BaseException, traces: Any) -> None:
        self.failures += [type(error).__name__] * len(traces)

    def finish(self) -> None:
        self.finished += 1

    def serves(self, champion: str, canary: str = "", shadow: str = "") -> None:
        self.served.append((champion, canary, shadow))

    def shadowed(self, overlap: float) -> None:
        self.overlaps.append(overlap)


def observed(front: Runtime) -> Recorder:
    recorder = Recorder()
    front.observe(recorder)
    return recorder


@pytest.fixture
def front(folders: dict[str, Path], tmp_path: Path) -> Runtime:
    """One version that follows live items."""
    models = in_process(
        folders,
        tmp_path / "models",
        {"version": "v1", "live_items": str(tmp_path / "items.sqlite")},
    )
    change(models, "add", {"item_id": "neu", "title": "drama space"})
    found = models._runtimes["recommend"]
    assert isinstance(found, Runtime)
    return found


def test_an_answer_is_told_as_it_was_given(front: Runtime) -> None:
    recorder = observed(front)
    asked = request(history=["a"], k=tiny.MAX_K, user_id="anna")
    (answer,) = front.execute([{**asked, **PARENT}])
    assert not isinstance(answer, InvalidInput)
    (told,) = recorder.answers
    assert told.items == [item.decode() for item in answer["item_id"][0]]
    assert told.scores == answer["score"][0].tolist()
    assert (told.version, told.role, told.source) == ("v1", "champion", "known_user")
    assert (told.user, told.degraded, told.propensities) == ("anna", False, ())
    assert told.trace.trace_id == told.question == answer["trace_id"][0, 0].decode() == TRACE
    assert told.rules == {"availability": {}}
    # Two items of the graph without interactions, and the one that was added.
    assert "neu" in told.items and told.cold == len(tiny.COLD) + 1
    assert list(dict.fromkeys(recorder.stages)) != [] and set(recorder.stages) == set(STAGES)
    assert recorder.finished == 1
    assert recorder.served == [("v1", "", "")]


def test_exploration_is_told_with_its_propensities(front: Runtime) -> None:
    recorder = observed(front)
    (answer,) = front.execute([request(k=5, rules=rules(explore={"temperature": 2}))])
    (told,) = recorder.answers
    assert not isinstance(answer, InvalidInput)
    assert told.propensities == answer["propensity"][0].tolist()
    assert all(0 < chance <= 1 for chance in told.propensities)
    assert told.rules["explore"] == {"temperature": 2}


def test_each_row_has_a_name_and_all_have_the_trace(front: Runtime) -> None:
    recorder = observed(front)
    rows = {name: value.repeat(3, axis=0) for name, value in request(k=3).items()}
    (drawn,) = front.execute([{**rows, **PARENT}])
    assert not isinstance(drawn, InvalidInput)
    names = [name.decode() for name in drawn["trace_id"][:, 0]]
    assert names == [TRACE, f"{TRACE}-1", f"{TRACE}-2"]
    assert [told.question for told in recorder.answers] == names
    assert {told.trace.trace_id for told in recorder.answers} == {TRACE}
    (named,) = front.execute([{**request(k=3, trace_id="mine"), **PARENT}])
    assert not isinstance(named, InvalidInput)
    assert named["trace_id"][0, 0] == b"mine"
    assert (recorder.answers[-1].question, recorder.answers[-1].trace.trace_id) == ("mine", TRACE)
    (one,), (two,) = (front.execute([request(k=3)]) for _ in range(2))
    assert not isinstance(one, InvalidInput) and not isinstance(two, InvalidInput)
    assert one["trace_id"] != two["trace_id"]


def test_a_refusal_is_told_once_and_answers_of_its_request_are_not(front: Runtime) -> None:
    recorder = observed(front)
    bad = {"k": request(k=3)["k"].repeat(2, axis=0)}
    bad["k"][1] = 0
    requests: list[Arrays] = [request(k=3), {**bad, **PARENT}, request(k=3, attributes=["age"])]
    answers = front.execute(requests)
    assert [isinstance(answer, InvalidInput) for answer in answers] == [False, True, True]
    assert len(recorder.answers) == 1
    assert [message.partition(":")[0] for message, _ in recorder.refusals] == ["k", "attributes"]
    assert recorder.refusals[0][1] == TRACE


def test_who_waits_for_an_item_is_shown_nothing(front: Runtime) -> None:
    """serving/live_items.py asks so, whether the item is there or not."""
    recorder = observed(front)
    for item in ("neu", "not there"):
        (answer,) = front.execute([request(allow=[item], exclude=[item])])
        assert not isinstance(answer, InvalidInput)
        unknown = [name.decode() for name in answer["unknown_item"][0] if name]
        assert unknown == ([] if item == "neu" else [item])
    assert [told.items for told in recorder.answers] == [[], []]


def test_a_fault_is_told_for_every_request(front: Runtime, monkeypatch: Any) -> None:
    recorder = observed(front)

    def fail(*_: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(front._versions.current().champion.engine, "answer", fail)
    with pytest.raises(RuntimeError):
        front.execute([request(k=3), request(k=4)])
    assert recorder.failures == ["RuntimeError"] * 2
    assert recorder.finished == 1


@pytest.fixture
def three(folders: dict[str, Path], tmp_path: Path) -> Iterator[tuple[Runtime, Path]]:
    """Champion "a", canary "b" for half of the users, shadow "c"."""
    live = tmp_path / "live"
    for name, seed in (("a", None), ("b", 1), ("c", 2)):
        found = folders if seed is None else several.differing(folders, tmp_path / name, seed)
        payload = live_folder.payload(live, name)
        payload.mkdir(parents=True)
        repository.write_payload(found["onnx"].parent, payload, form="local")
    Desired(Entry("a", 1), canary=Entry("b", 2, share=0.5, salt="s"), shadow=Entry("c", 3)).write(
        live
    )
    front = Runtime(tmp_path, {"live": str(live)}, lambda *_, **__: {})
    yield front, live
    front.close()


def test_the_version_that_answered_is_told_with_its_role(three: tuple[Runtime, Path]) -> None:
    front, live = three
    recorder = observed(front)
    assert recorder.served == [("a", "b", "c")]
    users = [f"user {number}" for number in range(20)]
    front.execute([request(k=3, user_id=user) for user in users])
    wanted = {
        u: ("b", "canary") if routing.position("s", u) < 0.5 else ("a", "champion") for u in users
    }
    assert {told.user: (told.version, told.role) for told in recorder.answers} == wanted
    assert set(wanted.values()) == {("b", "canary"), ("a", "champion")}
    ends = time.monotonic() + 30
    while len(recorder.overlaps) < len(users) and time.monotonic() < ends:
        time.sleep(0.01)
    assert len(recorder.overlaps) == len(users)
    assert all(0 <= overlap <= 1 for overlap in recorder.overlaps)
    # The shadow's thread reports no stages: they would mix with those of the answering thread.
    assert recorder.stages.count("users") == 2
    Desired(Entry("b", 2)).write(live)
    while recorder.served[-1] != ("b", "", "") and time.monotonic() < ends:
        time.sleep(0.01)
    assert recorder.served[-1] == ("b", "", "")
