import multiprocessing
from pathlib import Path

import pytest

from counterpoint.errors import SetupError
from counterpoint.monitoring import audit


def append_many(state: Path, name: str) -> None:
    for number in range(40):
        audit.append(state, {"name": name, "number": number, "filler": "x" * 3000})


def test_records_come_back_in_order(tmp_path: Path) -> None:
    assert audit.read(tmp_path) == []
    for number in range(3):
        audit.append(tmp_path / "state", {"number": number})
    assert [record["number"] for record in audit.read(tmp_path / "state")] == [0, 1, 2]


def test_a_line_cut_by_a_crash_costs_nothing_but_itself(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    audit.append(tmp_path, {"number": 1})
    path = tmp_path / audit.AUDIT
    path.write_text(path.read_text() + '{"number": 2, "verd')
    audit.append(tmp_path, {"number": 3})
    assert [record["number"] for record in audit.read(tmp_path)] == [1, 3]
    assert "Line 2" in caplog.text


def test_writers_of_several_processes_do_not_mix(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    writers = [
        context.Process(target=append_many, args=(tmp_path, name)) for name in ("a", "b", "c")
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    found = audit.read(tmp_path)
    assert len(found) == 120
    for name in ("a", "b", "c"):
        assert [r["number"] for r in found if r["name"] == name] == list(range(40))


def test_a_second_run_is_turned_away_and_a_later_one_is_not(tmp_path: Path) -> None:
    with audit.one_at_a_time(tmp_path / "state"):
        with pytest.raises(SetupError, match="Another monitoring run"):
            with audit.one_at_a_time(tmp_path / "state"):
                raise AssertionError("two runs decide at once")
    with audit.one_at_a_time(tmp_path / "state"):
        assert (tmp_path / "state").is_dir()
