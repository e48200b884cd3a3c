"""A copy of a shared store says what the store says, whatever happens to both."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoint.live_exchange import Changes
from counterpoint.live_items import LiveItem, StoredItem, Vector
from counterpoint.live_replica import Replica, SharedStore
from counterpoint.live_store import LiveStore, UnusableStore

HEAT = LiveItem("heat", "Heat", "A thief.", ("genre=Crime",), 5, 9, (("image", b"\0\0\x80?"),))


def copied(shared: SharedStore, path: Path, *, most: int = 2) -> None:
    """Bring a copy up to date, over the wire."""
    more = True
    while more:
        replica = Replica(path)
        name, seen = replica.known()
        changes = shared.changes(seen, store=name, most=most)
        if replica.apply(Changes.of(json.loads(json.dumps(changes.json())))):
            more = changes.more
        else:
            replica.forget()
        replica.close()


def content(store: LiveStore) -> list[tuple[LiveItem, int, int | None]]:
    return [(row.item, row.added_at, row.removed_at) for row in store.since()]


def of(path: Path, read: Callable[[LiveStore], object]) -> object:
    store = LiveStore(path)
    try:
        return read(store)
    finally:
        store.close()


CHANGE = st.one_of(
    st.tuples(st.just("put"), st.sampled_from("abcd"), st.text(max_size=3)),
    st.tuples(st.just("remove"), st.sampled_from("abcd"), st.just("")),
    st.tuples(st.just("vector"), st.sampled_from("abcd"), st.text(max_size=3)),
    st.tuples(st.just("copy"), st.sampled_from("xy"), st.just("")),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(CHANGE, max_size=25))
def test_copies_say_what_the_store_says(changes: list[tuple[str, str, str]]) -> None:
    with TemporaryDirectory() as folder:
        shared = SharedStore(Path(folder) / "shared.sqlite")
        for what, name, text in changes:
            if what == "put":
                shared.put([LiveItem(name, text or None)], replace=True)
            elif what == "remove":
                shared.remove([name])
            elif what == "vector":
                shared.put_vectors([Vector("e", name, text, text.encode())])
            else:
                copied(shared, Path(folder) / name)
        for name in "xy":
            path = Path(folder) / name
            copied(shared, path)
            assert of(path, content) == content(shared)
            wanted = shared.vectors("e", "abcd")
            assert of(path, lambda store: store.vectors("e", "abcd")) == wanted
        shared.close()


def test_a_reader_of_the_copy_sees_each_change_once(tmp_path: Path) -> None:
    shared, path = SharedStore(tmp_path / "shared"), tmp_path / "copy"
    shared.put([HEAT, LiveItem("b")])
    copied(shared, path)
    reader = LiveStore(path)
    rows = reader.since()
    assert [row.item.item_id for row in rows] == ["b", "heat"] or len(rows) == 2
    last = max(row.revision for row in rows)
    # What this machine adds of its own must not hide later changes of the shared store.
    reader.put_vectors([Vector("own encoder", "heat", "t", b"1234")])
    last = max(last, *(row.revision for row in reader.since(last)))
    copied(shared, path)
    assert reader.since(last) == []
    shared.remove(["b"])
    copied(shared, path)
    (gone,) = reader.since(last)
    assert gone.item.item_id == "b" and gone.removed_at
    assert reader.vectors("own encoder", ["heat"]) == {("heat", "t"): b"1234"}


@pytest.mark.parametrize("more", [0, 3])
def test_a_store_that_was_restored_or_replaced_is_copied_anew(tmp_path: Path, more: int) -> None:
    """With and without as many changes since as the copy has seen."""
    path, copy = tmp_path / "shared", tmp_path / "copy"
    shared = SharedStore(path)
    shared.put([LiveItem("a")])
    shared.close()
    shutil.copy(path, tmp_path / "backup")
    shared = SharedStore(path)
    shared.put([LiveItem("b"), LiveItem("c")])
    copied(shared, copy)
    shared.close()
    path.unlink()
    if not more:
        shutil.copy(tmp_path / "backup", path)
    shared = SharedStore(path)
    shared.put([LiveItem(f"d{n}") for n in range(more)])
    reader = LiveStore(copy)
    copied(shared, copy)
    assert of(copy, content) == content(shared)
    assert reader.changed()[1]  # those who read the copy are told


def test_what_is_known_already_changes_nothing(tmp_path: Path) -> None:
    shared, replica = SharedStore(tmp_path / "shared"), Replica(tmp_path / "copy")
    shared.put([HEAT])
    late = shared.changes(0)
    shared.remove(["heat"])
    assert replica.apply(shared.changes(0)) and replica.apply(late)
    (row,) = replica.since()
    assert isinstance(row, StoredItem) and row.removed_at


def test_a_store_of_its_own_is_no_copy_and_a_copy_keeps_nothing(tmp_path: Path) -> None:
    own = LiveStore(tmp_path / "own")
    own.put([HEAT])
    shared = SharedStore(tmp_path / "shared")
    for path in (tmp_path / "own", tmp_path / "shared"):
        with pytest.raises(UnusableStore, match="items of its own and cannot become a copy"):
            Replica(path)
    copied(shared, tmp_path / "copy")
    with pytest.raises(UnusableStore, match="is a copy of the live items"):
        SharedStore(tmp_path / "copy")
    assert SharedStore(tmp_path / "own").get("heat") is not None
