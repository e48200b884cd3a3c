import multiprocessing
import os
import signal
import sqlite3
import time
from pathlib import Path

import pytest

from counterpoint.errors import as_fault
from counterpoint.live_items import FaultyItem, LiveItem, Vector
from counterpoint.live_store import LiveStore, UnusableStore

HEAT = LiveItem("heat", "Heat", "A thief.", ("genre=Crime",), 5, 9)


@pytest.fixture
def store(tmp_path: Path) -> LiveStore:
    return LiveStore(tmp_path / "a folder" / "items.sqlite")


def vector(item: str, content: bytes = b"1234", text: str = "t") -> Vector:
    return Vector("e", item, text, content)


def test_what_is_put_is_found_again_after_a_restart(store: LiveStore) -> None:
    ((what, row),) = store.put([HEAT], [vector("heat")])
    store.close()
    again = LiveStore(store.path)
    assert what == "added"
    assert again.get("heat") == row
    assert row.item == HEAT and row.removed_at is None
    assert again.vectors("e", ["heat", "other"]) == {("heat", "t"): b"1234"}
    assert again.get("other") is None


def test_an_item_that_exists_is_only_replaced_on_demand(store: LiveStore) -> None:
    (_, first), (_, second) = store.put([HEAT, LiveItem("b")])
    with pytest.raises(FaultyItem, match=r"^item_id: 'heat' is in the catalogue already"):
        store.put([LiveItem("new"), HEAT])
    assert store.get("new") is None  # all or none
    ((what, row),) = store.put([LiveItem("heat", "Other")], replace=True)
    assert (what, row.item.title, row.item.text) == ("changed", "Other", None)
    assert row.added_at == first.added_at
    assert row.revision > second.revision


def test_a_changed_item_loses_the_vectors_of_its_old_text(store: LiveStore) -> None:
    store.put([HEAT], [vector("heat", b"old!", "old")])
    store.put([HEAT], [vector("heat", b"new!", "new")], replace=True)
    assert store.vectors("e", ["heat"]) == {("heat", "new"): b"new!"}


def test_an_item_of_the_model_exists_as_well(store: LiveStore) -> None:
    def known(item: str) -> bool:
        return item == "heat"

    with pytest.raises(FaultyItem, match=r"^item_id: 'heat'"):
        store.put([HEAT], known=known)
    store.remove(["heat"])
    ((what, row),) = store.put([HEAT], known=known)
    assert (what, row.removed_at) == ("restored", None)


def test_a_removed_item_leaves_a_tombstone_and_comes_back(store: LiveStore) -> None:
    store.put([HEAT])
    (gone, unknown) = store.remove(["heat", "of the model"])
    assert gone.item == HEAT and gone.removed_at is not None
    assert unknown.item == LiveItem("of the model")
    ((what, row),) = store.put([HEAT])
    assert what == "restored"
    assert row.added_at >= gone.removed_at


def test_readers_fetch_only_what_is_newer(store: LiveStore) -> None:
    reader = LiveStore(store.path)
    before, gone = reader.changed()
    assert reader.changed() == (before, False) and not gone
    store.put([HEAT, LiveItem("b")])
    after, _ = reader.changed()
    assert after != before
    seen = max(row.revision for row in reader.since())
    store.remove(["b"])
    store.put_vectors([vector("heat")])
    assert {row.item.item_id for row in reader.since(seen)} == {"b", "heat"}


def test_vectors_of_nobody_are_not_kept(store: LiveStore) -> None:
    store.put_vectors([vector("nobody")])
    assert store.vectors("e", ["nobody"]) == {}


def test_a_replaced_file_is_noticed(store: LiveStore) -> None:
    store.path.unlink()
    assert store.changed()[1]
    LiveStore(store.path)
    assert store.changed()[1]


@pytest.mark.parametrize("content", [b"not a database, but long enough to be one" * 40, None])
def test_an_unusable_file_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "items.sqlite"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    with pytest.raises(UnusableStore, match=r"items\.sqlite"):
        LiveStore(path)


def test_a_full_disk_is_a_fault_of_the_user_and_changes_nothing(store: LiveStore) -> None:
    store.put([HEAT])
    pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
    store._connection.execute(f"PRAGMA max_page_count = {pages}")  # SQLite's own "disk is full"
    many = [LiveItem(f"item {n}", "x" * 1000, "", (), None, None) for n in range(100)]
    with pytest.raises(UnusableStore, match=r"disk of the live items .* is full: nothing") as full:
        store.put(many)
    assert as_fault(full.value) is full.value
    assert [row.item for row in store.since()] == [HEAT]


def test_a_store_of_a_later_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "items.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 9")
    connection.close()
    with pytest.raises(UnusableStore, match="format 9"):
        LiveStore(path)


def test_a_missing_store_can_be_refused(tmp_path: Path) -> None:
    with pytest.raises(UnusableStore, match="does not exist"):
        LiveStore(tmp_path / "none.sqlite", create=False)
    assert not (tmp_path / "none.sqlite").exists()


def _add_many(path: Path, worker: int, count: int) -> None:
    store = LiveStore(path)
    for number in range(count):
        name = f"{worker}-{number}"
        store.put([LiveItem(name)], [vector(name)])


def test_writers_of_several_processes_wait_for_each_other(tmp_path: Path) -> None:
    path = tmp_path / "items.sqlite"
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=_add_many, args=(path, n, 40)) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 4
    rows = LiveStore(path).since()
    assert {row.item.item_id for row in rows} == {f"{w}-{n}" for w in range(4) for n in range(40)}
    assert len({row.revision for row in rows}) == 160


def _add_forever(path: Path) -> None:
    store = LiveStore(path)
    number = 0
    while True:
        names = [f"{number}a", f"{number}b"]
        store.put([LiveItem(name) for name in names], [vector(name) for name in names])
        number += 1


@pytest.mark.parametrize("patience", [0.0, 0.003, 0.011])
def test_a_killed_writer_leaves_whole_changes(tmp_path: Path, patience: float) -> None:
    path = tmp_path / "items.sqlite"
    LiveStore(path).close()
    worker = multiprocessing.get_context("spawn").Process(target=_add_forever, args=(path,))
    worker.start()
    watcher = LiveStore(path)
    while len(watcher.since()) < 20:
        assert worker.is_alive()
    time.sleep(patience)
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGKILL)
    worker.join()
    store = LiveStore(path)
    names = {row.item.item_id for row in store.since()}
    assert names == {f"{n}{half}" for n in range(len(names) // 2) for half in "ab"}
    assert len(store.vectors("e", sorted(names))) == len(names)
    store.put([HEAT])
    assert watcher.get("heat") is not None


def test_vectors_of_modalities_are_kept_with_their_item(store: LiveStore) -> None:
    seen = LiveItem("seen", vectors=(("image", b"1234abcd"), ("audio", b"wxyz")))
    store.put([seen, HEAT])
    again = LiveStore(store.path)
    assert [row.item for row in again.since()] == [seen, HEAT]
    store.put([LiveItem("seen", "Blind")], replace=True)
    row = again.get("seen")
    assert row is not None and row.item.vectors == ()


def test_a_store_without_their_column_is_read_and_then_widened(store: LiveStore) -> None:
    store.put([HEAT])
    store.close()
    with sqlite3.connect(store.path) as connection:
        connection.execute("ALTER TABLE items DROP COLUMN vectors")
    connection.close()
    old = LiveStore(store.path)
    assert [row.item for row in old.since()] == [HEAT]
    reader = LiveStore(store.path)
    seen = LiveItem("seen", vectors=(("image", b"1234"),))
    old.put([seen])
    assert {row.item for row in reader.since()} == {HEAT, seen}
    # As a program before that column writes it: with the columns it knows.
    with sqlite3.connect(store.path) as connection:
        connection.execute(
            "INSERT OR REPLACE INTO items (item_id, attributes, added_at, revision) "
            "VALUES ('seen', '[]', 1, 99)"
        )
    connection.close()
    row = reader.get("seen")
    assert row is not None and row.item == LiveItem("seen")
