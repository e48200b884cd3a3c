import tempfile
from pathlib import Path

import pytest

from counterpoint.atomic import replace_file, replaced_folder, scratch_folder


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    replace_file(tmp_path / "deep" / "file", b"one")
    replace_file(tmp_path / "deep" / "file", b"two")
    assert (tmp_path / "deep" / "file").read_bytes() == b"two"
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["file"]


def test_a_folder_is_replaced_only_without_error(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    with replaced_folder(target) as fresh:
        (fresh / "old").touch()
    with pytest.raises(RuntimeError), replaced_folder(target) as fresh:
        (fresh / "broken").touch()
        raise RuntimeError
    assert [p.name for p in target.iterdir()] == ["old"]
    with replaced_folder(target) as fresh:
        (fresh / "new").touch()
    assert [p.name for p in target.iterdir()] == ["new"]
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


def test_scratch_folders_of_the_dead_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    dead = tmp_path / "work-dead"
    dead.mkdir()
    (dead / "model").touch()
    (tmp_path / "work-dead.lock").touch()
    (tmp_path / "other-dead").mkdir()
    with scratch_folder("work") as first, scratch_folder("work") as second:
        assert first.is_dir() and second.is_dir() and first != second
        assert not dead.exists()
    assert [p.name for p in tmp_path.iterdir()] == ["other-dead"]
