import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoint import columns, examples, splits
from counterpoint.batches import history_batch, read_examples
from counterpoint.config import FeaturesConfig
from counterpoint.histories import order_events
from tests.counterpoint import logs, toys


@settings(max_examples=25, deadline=None)
@given(logs.rows(min_size=8), st.integers(1, 5))
def test_arrays_hold_what_the_frame_says(rows, length) -> None:
    tables = logs.tables(rows)
    folded = order_events(tables.interactions, seed=0).with_columns(
        pl.lit(splits.TRAIN).alias(columns.FOLD)
    )
    frame = examples.plain_examples(folded, tables.users, FeaturesConfig()).filter(
        pl.col(columns.FIT) == "final"
    )
    index = {f"i{i}": i for i in range(9)}
    read = read_examples(frame, index, length=length)
    assert len(read) == len(frame)
    for row, example in enumerate(frame.sort(columns.USER, columns.EXAMPLE).iter_rows(named=True)):
        batch = read.batch(np.array([row]))
        history = example[columns.HISTORY][-length:]
        positive = example[columns.HISTORY_POSITIVE][-length:]
        assert batch.items.tolist() == [index[i] for i in history]
        assert batch.positive.tolist() == positive
        assert batch.age.tolist() == [sum(positive[i + 1 :]) for i in range(len(positive))]
        wanted = [index[i] for i in example[columns.TARGETS] if i not in history]
        assert batch.target_items.tolist() == wanted


def test_an_epoch_visits_every_user_once_and_epochs_walk_through_the_examples() -> None:
    _, frame = toys.prepared(toys.world())
    frame = frame.filter(pl.col(columns.FIT) == "final")
    read = read_examples(frame, {f"i{i}": i for i in range(24)}, length=9)
    per_user = len(read) // read.n_users
    seen = []
    for number in range(per_user):
        batches = read.epoch(number, seed=1, batch_size=7)
        chosen = np.concatenate(batches)
        assert sorted(read.users[chosen]) == sorted(set(read.users))
        assert max(len(part) for part in batches) == 7
        seen.append(chosen)
    assert len(set(np.concatenate(seen))) == per_user * read.n_users
    again = np.concatenate(read.epoch(0, seed=1, batch_size=7))
    assert np.array_equal(again, seen[0])
    assert not np.array_equal(np.concatenate(read.epoch(0, seed=2, batch_size=7)), seen[0])


def test_items_outside_the_catalogue_are_dropped() -> None:
    _, frame = toys.prepared(toys.world())
    read = read_examples(frame, {f"i{i}": i for i in range(5)}, length=9)
    assert read.items.max() < 5 and read.targets.max() < 5
    whole = read.batch(np.arange(len(read)))
    assert len(whole.items) == len(whole.age) == len(whole.positive) == len(whole.owner)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=6), min_size=1, max_size=5
    ),
    st.integers(1, 7),
    st.data(),
)
def test_whole_histories_of_some_users(events, length, data) -> None:
    users = data.draw(st.lists(st.integers(0, len(events) - 1), max_size=6))
    batch = history_batch(toys.histories(*events), np.array(users, dtype=np.int64), length)
    assert batch.size == len(users) and batch.users.tolist() == users
    assert not len(batch.target_items)
    for row, user in enumerate(users):
        kept = events[user][-length:]
        own = batch.owner == row
        liked = [positive for _, positive in kept]
        assert batch.items[own].tolist() == [item for item, _ in kept]
        assert batch.positive[own].tolist() == liked
        assert batch.age[own].tolist() == [sum(liked[i + 1 :]) for i in range(len(liked))]


def test_examples_know_the_index_of_their_user_in_the_fit() -> None:
    _, frame = toys.prepared(toys.world())
    frame = frame.filter(pl.col(columns.FIT) == "final")
    users = sorted([*frame[columns.USER].unique(), "u0a", "zz"])
    read = read_examples(frame, {"i0": 0}, length=9, user_ids=users)
    ordered = frame.sort(columns.USER, columns.EXAMPLE)[columns.USER].to_list()
    assert [users[user] for user in read.users] == ordered
    assert [users[user] for user in read.batch(np.array([3, 0])).users] == [ordered[3], ordered[0]]
