import itertools

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoint import columns, rolling_windows, splits
from counterpoint.config import SplitConfig
from counterpoint.errors import DataError
from tests.counterpoint.test_splits import interactions, logs
from tests.counterpoint.worlds import folded, world

SPLIT = SplitConfig(valid_fraction=0.1, test_fraction=0.1)


@settings(deadline=None, max_examples=40)
@given(logs(), st.integers(1, 5))
def test_windows_follow_each_other_and_nothing_later_is_known(log, count):
    frame = interactions(log)
    try:
        windows = rolling_windows.cut(frame, SPLIT, windows=count)
    except DataError:
        return
    assert len(windows) == count
    assert windows[-1].drop(columns.FOLD).equals(frame)
    spans = []
    for window in windows:
        judged = window.filter(pl.col(columns.FOLD).str.starts_with("test"))
        spans.append((judged[columns.TIMESTAMP].min(), window[columns.TIMESTAMP].max()))
        assert splits.fit_events(window, "final")[columns.TIMESTAMP].max() < spans[-1][0]
    for (_, last), (first, _) in itertools.pairwise(spans):
        assert last < first


def test_test_windows_are_of_one_size():
    frame = folded(world(), SPLIT).interactions.drop(columns.FOLD)
    windows = rolling_windows.cut(frame, SPLIT, windows=3)
    sizes = [
        window.filter(pl.col(columns.FOLD).str.starts_with("test")).height for window in windows
    ]
    assert all(50 <= size <= 75 for size in sizes)
    last = splits.assign(frame, SPLIT)
    assert windows[-1].equals(last)


def test_too_many_windows_and_missing_time_are_refused():
    frame = folded(world(), SPLIT).interactions.drop(columns.FOLD)
    with pytest.raises(DataError, match="Use fewer windows"):
        rolling_windows.cut(frame, SPLIT, windows=7)
    with pytest.raises(DataError, match="Use fewer windows"):
        rolling_windows.cut(frame, SPLIT.model_copy(update={"test_fraction": 0.0}), windows=1)
    still = interactions([(u, i, 0, True) for u in "abcdef" for i in "xyz"])
    with pytest.raises(DataError, match="timestamp"):
        rolling_windows.cut(still, SPLIT, windows=2)
