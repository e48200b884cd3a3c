from datetime import UTC, datetime

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoint import columns
from counterpoint.histories import from_events, order_events

EVENTS = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from("wxyz"), st.integers(0, 12), st.booleans()),
    max_size=40,
)


def frame(events: list[tuple[str, str, int, bool]]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            columns.ROW: list(range(len(events))),
            columns.USER: [user for user, *_ in events],
            columns.ITEM: [item for _, item, *_ in events],
            columns.TIMESTAMP: [datetime.fromtimestamp(t / 1e6, UTC) for _, _, t, _ in events],
            columns.EVENT: ["rating"] * len(events),
            columns.VALUE: [1.0] * len(events),
            columns.POSITIVE: [positive for *_, positive in events],
        },
        schema=columns.INTERACTIONS,
    )


@given(EVENTS, st.integers(0, 3))
@settings(deadline=None)
def test_ordering_keeps_rows_and_makes_each_user_strictly_increasing(
    events: list[tuple[str, str, int, bool]], seed: int
) -> None:
    before = frame(events)
    after = order_events(before, seed=seed)
    assert sorted(after[columns.ROW]) == sorted(before[columns.ROW])
    for _, own in after.group_by(columns.USER):
        stamps = own[columns.TIMESTAMP].dt.epoch("us").to_numpy()
        assert (np.diff(stamps) > 0).all()
        original = before.join(own.select(columns.ROW), on=columns.ROW, maintain_order="right")
        true_stamps = original[columns.TIMESTAMP].dt.epoch("us").to_numpy()
        assert (np.diff(true_stamps) >= 0).all()
        assert (stamps >= true_stamps).all()


@given(EVENTS)
@settings(deadline=None)
def test_histories_agree_with_plain_python(events: list[tuple[str, str, int, bool]]) -> None:
    ordered = order_events(frame(events), seed=0)
    index = {item: i for i, item in enumerate("wxy")}
    histories = from_events(ordered, index, user_ids=["c", "a", "nobody"])
    ages = histories.ages()
    for u, user in enumerate(histories.user_ids):
        own = ordered.filter(
            (pl.col(columns.USER) == user) & pl.col(columns.ITEM).is_in(list(index))
        )
        part = slice(histories.indptr[u], histories.indptr[u + 1])
        assert [index[item] for item in own[columns.ITEM]] == histories.items[part].tolist()
        flags = own[columns.POSITIVE].to_list()
        assert ages[part].tolist() == [sum(flags[i + 1 :]) for i in range(len(flags))]


@given(EVENTS)
@settings(deadline=None)
def test_the_newest_of_duplicate_events_counts_in_the_matrix(
    events: list[tuple[str, str, int, bool]],
) -> None:
    ordered = order_events(frame(events), seed=0)
    index = {item: i for i, item in enumerate("wxyz")}
    histories = from_events(ordered, index, user_ids=list("abc"))
    values = np.arange(1, len(histories.items) + 1, dtype=np.float32)
    dense = np.zeros((3, 4), dtype=np.float32)
    for event in range(len(values)):
        if histories.positive[event]:
            dense[histories.owners[event], histories.items[event]] = values[event]
    matrix = histories.matrix(4, values=values, positive_only=True)
    np.testing.assert_array_equal(matrix.toarray(), dense)


def test_take_selects_users_in_the_given_order() -> None:
    ordered = order_events(
        frame([("a", "x", 1, True), ("b", "y", 2, False), ("b", "z", 3, True)]), seed=0
    )
    histories = from_events(
        ordered,
        {item: i for i, item in enumerate("wxyz")},
        user_ids=["a", "b"],
        attributes={"b": ["age=1"]},
    )
    taken = histories.take(np.array([1, 1, 0]))
    assert taken.user_ids == ["b", "b", "a"]
    assert taken.items.tolist() == [2, 3, 2, 3, 1]
    assert taken.attributes == [["age=1"], ["age=1"], []]
