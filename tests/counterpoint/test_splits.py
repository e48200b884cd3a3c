from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoint import columns, splits, tables
from counterpoint.config import SplitConfig
from counterpoint.errors import DataError
from counterpoint.histories import order_events

PROTOCOLS = ("global_temporal", "per_user", "leave_last_out")
START = datetime(2024, 1, 1, tzinfo=UTC)


def interactions(events):
    """Ordered interactions of (user, item, second, positive)."""
    frame = pl.DataFrame(
        [
            {
                columns.ROW: row,
                columns.USER: user,
                columns.ITEM: item,
                columns.TIMESTAMP: START + timedelta(seconds=second),
                columns.POSITIVE: positive,
            }
            for row, (user, item, second, positive) in enumerate(events)
        ]
    )
    return order_events(tables.conform(frame, columns.INTERACTIONS, table="interactions"), seed=0)


def folds_of(frame, user):
    mine = frame.filter(pl.col(columns.USER) == user)
    return dict(zip(mine[columns.ITEM], mine[columns.FOLD], strict=True))


@st.composite
def logs(draw):
    """Few users, items and instants, so that ties and repetitions are common."""
    size = draw(st.integers(6, 60))
    text = st.sampled_from("abcdef")
    events = st.tuples(text, st.sampled_from("uvwxyz"), st.integers(0, 12), st.booleans())
    return draw(st.lists(events, min_size=size, max_size=size))


@settings(deadline=None)
@given(
    logs(),
    st.sampled_from(PROTOCOLS),
    st.floats(0.05, 0.45),
    st.sampled_from([0.0, 0.05, 0.2, 0.45]),
)
def test_no_history_is_later_than_its_target(log, protocol, valid, test):
    frame = interactions(log)
    split = SplitConfig(protocol=protocol, valid_fraction=valid, test_fraction=test)
    try:
        folded = splits.assign(frame, split)
    except DataError:
        return
    assert folded.drop(columns.FOLD).equals(frame)
    assert folded[columns.FOLD].null_count() == 0
    for fold, sources in splits.HISTORY_FOLDS.items():
        first = (
            folded.filter(pl.col(columns.FOLD) == f"{fold}_target")
            .group_by(columns.USER)
            .agg(pl.col(columns.TIMESTAMP).min().alias("first"))
        )
        late = (
            folded.filter(pl.col(columns.FOLD).is_in(sources))
            .join(first, on=columns.USER)
            .filter(pl.col(columns.TIMESTAMP) >= pl.col("first"))
        )
        assert late.is_empty()


@settings(deadline=None)
@given(logs(), st.floats(0.05, 0.3), st.floats(0.05, 0.3))
def test_global_temporal_fits_on_nothing_after_the_window_opens(log, valid, test):
    frame = interactions(log)
    try:
        folded = splits.assign(frame, SplitConfig(valid_fraction=valid, test_fraction=test))
    except DataError:
        return
    for fit, fold in (("choose", "valid"), ("final", "test")):
        last = splits.fit_events(folded, fit)[columns.TIMESTAMP].max()
        window = folded.filter(pl.col(columns.FOLD).str.starts_with(fold))
        assert last < window[columns.TIMESTAMP].min()


@settings(deadline=None)
@given(logs(), st.sampled_from(PROTOCOLS))
def test_targets_are_unseen_positives_of_the_fold(log, protocol):
    frame = interactions(log)
    try:
        folded = splits.assign(frame, SplitConfig(protocol=protocol))
        index = {item: n for n, item in enumerate("uvwxyz")}
        histories, targets = splits.fold_histories(folded, "test", index)
    except DataError:
        return
    assert targets.shape == (len(histories), 6)
    assert (np.diff(targets.indptr) > 0).all()
    rows = folded.filter((pl.col(columns.FOLD) == "test_target") & pl.col(columns.POSITIVE))
    for row, user in enumerate(histories.user_ids):
        seen = set(histories.items[histories.indptr[row] : histories.indptr[row + 1]])
        liked = {index[i] for i in rows.filter(pl.col(columns.USER) == user)[columns.ITEM]}
        assert set(targets[row].indices) == liked - seen


def test_global_temporal_folds_in_the_first_half_of_the_window():
    log = [("a", f"a{n}", n, True) for n in range(15)]
    log += [("new", f"n{n}", 15 + n, True) for n in range(5)]
    folded = splits.assign(interactions(log), SplitConfig(valid_fraction=0.25, test_fraction=0.25))
    assert folds_of(folded, "new") == {
        "n0": "test_history",
        "n1": "test_history",
        "n2": "test_target",
        "n3": "test_target",
        "n4": "test_target",
    }
    assert [folds_of(folded, "a")[f"a{n}"] for n in (9, 10, 11, 12, 14)] == [
        "train",
        "valid_history",
        "valid_history",
        "valid_target",
        "valid_target",
    ]


def test_per_user_takes_each_users_last_events():
    log = [(user, f"{user}{n}", n, True) for user in "ab" for n in range(10)]
    folded = splits.assign(interactions(log), SplitConfig(protocol="per_user"))
    for user in "ab":
        found = folds_of(folded, user)
        assert (found[f"{user}7"], found[f"{user}8"], found[f"{user}9"]) == (
            "train",
            "valid_target",
            "test_target",
        )


def test_per_user_gives_short_sequences_one_event_a_fold():
    log = [("a", f"{n}", n, True) for n in range(3)] + [("b", "0", 0, True), ("b", "1", 1, True)]
    folded = splits.assign(interactions(log), SplitConfig(protocol="per_user"))
    assert folds_of(folded, "a") == {"0": "train", "1": "valid_target", "2": "test_target"}
    assert folds_of(folded, "b") == {"0": "train", "1": "train"}


def test_leave_last_out_counts_positives():
    log = [("a", item, n, item.isupper()) for n, item in enumerate("AbCdEf")]
    folded = splits.assign(interactions(log), SplitConfig(protocol="leave_last_out"))
    assert folds_of(folded, "a") == {
        "A": "train",
        "b": "train",
        "C": "valid_target",
        "d": "valid_target",
        "E": "test_target",
        "f": "test_target",
    }


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_without_a_test_fraction_there_is_no_test_fold(protocol):
    log = [(user, f"{n}", n, True) for user in "abcd" for n in range(10)]
    folded = splits.assign(interactions(log), SplitConfig(protocol=protocol, test_fraction=0))
    assert not folded[columns.FOLD].str.starts_with("test").any()
    assert (folded[columns.FOLD] == "valid_target").any()
    assert splits.fit_events(folded, "final").equals(folded)


def test_equal_timestamps_are_refused_by_the_time_split_and_named_remedy_works():
    frame = interactions([(user, f"{n}", 0, True) for user in "abcd" for n in range(10)])
    assert not splits.has_time(frame)
    with pytest.raises(DataError, match="protocol=per_user"):
        splits.assign(frame, SplitConfig())
    assert splits.has_time(interactions([("a", "x", 0, True), ("a", "y", 1, True)]))
    splits.assign(frame, SplitConfig(protocol="per_user"))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_too_little_data_is_named(protocol):
    frame = interactions([("a", "x", 0, True), ("a", "y", 5, True)])
    with pytest.raises(DataError, match=r"no positive interaction in: .*features.split"):
        splits.assign(frame, SplitConfig(protocol=protocol))


def test_no_interactions_and_no_unseen_target_are_named():
    frame = interactions([("a", "x", n, True) for n in range(30)])
    with pytest.raises(DataError, match="no interactions"):
        splits.assign(frame.clear(), SplitConfig())
    folded = splits.assign(frame, SplitConfig(protocol="per_user"))
    with pytest.raises(DataError, match="unseen positive item in the test fold"):
        splits.fold_histories(folded, "test", {"x": 0})
