import threading
from pathlib import Path

import pytest

from counterpoint.errors import DataError
from serving import impressions
from serving.observe.impression_log import ImpressionLog


def line(number: int, **changes: object) -> dict[str, object]:
    return {
        "when": f"2026-01-01T00:00:{number // 1000:02d}.{number % 1000:03d}+00:00",
        "trace_id": f"{number:032x}",
        "user": "",
        "version": "v1",
        "role": "champion",
        "source": "history",
        "degraded": False,
        "items": ["ünï", "b"],
        "scores": [2.0, 1.0],
        "propensities": [],
        "rules": "{}",
    } | changes


def test_what_was_written_is_read_back_in_order(tmp_path: Path) -> None:
    log = ImpressionLog(tmp_path / "new", dict, file_bytes=2000, files=100)
    for number in range(50):
        log.write(line(number))
    log.close()
    files = sorted((tmp_path / "new").iterdir())
    assert len(files) > 3
    assert all(path.stat().st_size < 2000 + 400 for path in files)
    found = impressions.read(tmp_path / "new")
    assert found.schema == impressions.SCHEMA
    assert found["trace_id"].to_list() == [f"{number:032x}" for number in range(50)]
    assert found["items"].to_list() == [["ünï", "b"]] * 50
    assert log.take_dropped() == 0


def test_the_oldest_files_go_first_also_those_of_dead_processes(tmp_path: Path) -> None:
    dead = tmp_path / "impressions-999999999.jsonl"
    dead.write_text("old\n")
    alive = tmp_path / "impressions-1.jsonl"
    alive.write_text("")
    log = ImpressionLog(tmp_path, dict, file_bytes=2000, files=2)
    for number in range(100):
        log.write(line(number))
    log.close()
    assert not dead.exists()
    assert alive.exists()
    assert len(list(tmp_path.glob("impressions-*-*.jsonl"))) == 2
    kept = impressions.read(tmp_path)["trace_id"].to_list()
    assert kept[-1] == f"{99:032x}" and 0 < len(kept) < 100


def test_a_disk_that_cannot_keep_up_costs_counted_lines_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    going = threading.Event()
    original = ImpressionLog._append

    def slow(self: ImpressionLog, shown: dict[str, object]) -> None:
        assert going.wait(30)
        original(self, shown)

    monkeypatch.setattr(ImpressionLog, "_append", slow)
    log = ImpressionLog(tmp_path, dict, waiting=10)
    for number in range(1000):
        log.write(line(number))
    going.set()
    log.close()
    dropped = log.take_dropped()
    assert dropped >= 1000 - 2 * 10
    assert len(impressions.read(tmp_path)) + dropped == 1000


def test_a_full_disk_is_counted_and_writing_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = ImpressionLog(tmp_path, dict)
    original = log._append
    failed = threading.Event()

    def full(shown: dict[str, object]) -> None:
        if not failed.is_set():
            failed.set()
            raise OSError(28, "No space left on device")
        original(shown)

    monkeypatch.setattr(log, "_append", full)
    log.write(line(0))
    assert failed.wait(30)
    log.write(line(1))
    log.close()
    assert log.take_dropped() == 1
    assert impressions.read(tmp_path)["trace_id"].to_list() == [f"{1:032x}"]


def test_an_unfinished_line_is_skipped(tmp_path: Path) -> None:
    log = ImpressionLog(tmp_path, dict)
    log.write(line(0))
    log.close()
    path = next(tmp_path.iterdir())
    path.write_bytes(path.read_bytes() + b'{"when":"2026-01-0')
    assert len(impressions.read(tmp_path)) == 1


def test_shown_items_have_place_score_and_propensity(tmp_path: Path) -> None:
    log = ImpressionLog(tmp_path, dict)
    log.write(line(0))
    log.write(line(1, items=["x"], scores=[3.0], propensities=[0.25]))
    log.write(line(2, items=[], scores=[]))
    log.close()
    found = impressions.shown(impressions.read(tmp_path))
    columns = ["item_id", "place", "score", "propensity"]
    assert found.select(columns).rows() == [
        ("ünï", 1, 2.0, None),
        ("b", 2, 1.0, None),
        ("x", 1, 3.0, 0.25),
    ]


def test_no_log_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"deploy\.impressions"):
        impressions.read(tmp_path / "none")
