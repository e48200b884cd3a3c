from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from counterpoint import columns
from counterpoint.config import MonitorConfig
from counterpoint.monitoring.blocks import blocks, mean_vectors
from counterpoint.monitoring.observations import NEW_USER, UNIT, Observations, pseudonyms
from counterpoint.monitoring.window import Data, compare, cut, items_of_both
from counterpoint.tables import Tables
from tests.counterpoint.monitoring.stream import ITEMS, START, early, stream, taken, vectors


@pytest.fixture(scope="module")
def data() -> Tables:
    return stream()


def lazy(data: Tables) -> Data:
    return Data(data.interactions.lazy(), data.items, data.users)


@pytest.fixture(scope="module")
def observed(data: Tables) -> Observations:
    reference = taken(data)
    window = cut(MonitorConfig(window_days=15), data.interactions.lazy(), reference)
    return compare(window, reference, lazy(data))


def test_pseudonyms_stay_the_same_across_releases() -> None:
    found = pseudonyms(pl.Series(["anna", "日本"])).to_list()
    assert found == [15007248279094446732, 16731776207566445370]


def test_the_window_never_reaches_into_the_reference(data: Tables) -> None:
    reference = taken(data)
    window = cut(MonitorConfig(window_days=1000), data.interactions.lazy(), reference)
    assert window.start == reference.end
    assert window.events[columns.TIMESTAMP].min() > reference.end
    total = data.interactions.filter(pl.col(columns.TIMESTAMP) > reference.end)
    assert window.rows == len(total)


def test_window_end_and_length_are_kept(data: Tables) -> None:
    end = START + timedelta(days=75)
    config = MonitorConfig(window_days=5, window_end=end.isoformat())
    window = cut(config, data.interactions.lazy(), taken(data))
    assert (window.start, window.end) == (end - timedelta(days=5), end)
    assert window.events[columns.TIMESTAMP].max() <= end


def test_large_windows_keep_whole_users(data: Tables) -> None:
    config = MonitorConfig(window_days=20, max_users=100)
    many = stream(users=600, seed=3)
    window = cut(config, many.interactions.lazy(), taken(many))
    assert window.users > 100
    assert window.events[columns.USER].n_unique() == 100
    inside = many.interactions.filter(pl.col(columns.TIMESTAMP) > window.start)
    whole = inside.filter(pl.col(columns.USER).is_in(window.events[columns.USER].implode()))
    assert len(window.events) == len(whole)


def test_every_event_belongs_to_one_unit_of_its_side(observed: Observations) -> None:
    units = observed.units
    assert set(observed.events[UNIT]) == set(range(len(units.users)))
    assert units.current.any()
    # The first events come a little after day zero, so only three of four slices are whole.
    assert set(units.slices.tolist()) == {-1, 0, 1, 2}
    pairs = set(zip(units.users.tolist(), units.slices.tolist(), strict=True))
    assert len(pairs) == len(units.users)


def test_new_users_of_a_slice_are_those_without_earlier_events(
    data: Tables, observed: Observations
) -> None:
    rows = early(data).interactions
    end = rows[columns.TIMESTAMP].max()
    first = rows.group_by(columns.USER).agg(pl.col(columns.TIMESTAMP).min())[columns.TIMESTAMP]
    for number in (0, 1):
        begin = end - timedelta(days=15) * (number + 1)
        until = begin + timedelta(days=15)
        wanted = ((first > begin) & (first <= until)).sum()
        units = np.flatnonzero(observed.units.slices == number)
        events = observed.events.filter(pl.col(UNIT).is_in(units.tolist()))
        assert events.filter(NEW_USER)[UNIT].n_unique() == wanted


def test_blocks_count_every_event_once(data: Tables, observed: Observations) -> None:
    items = items_of_both(taken(data), lazy(data))
    found = blocks(observed, items)
    assert set(found) == {
        "value",
        "items",
        "popularity",
        "item_genre",
        "user_plan",
        "hour",
        "weekday",
        "activity",
    }
    per_unit = observed.events.group_by(UNIT).len().sort(UNIT)["len"].to_numpy()
    for name in ("value", "items", "popularity", "item_genre", "hour", "weekday"):
        sums = np.asarray(found[name].counts.sum(axis=1)).ravel()
        assert (sums == per_unit).all(), name
    for name in ("user_plan", "activity"):
        assert (np.asarray(found[name].counts.sum(axis=1)).ravel() == 1).all(), name


def test_popularity_bins_hold_a_tenth_of_the_events(data: Tables, observed: Observations) -> None:
    found = blocks(observed, items_of_both(taken(data), lazy(data)))["popularity"]
    shares = np.asarray(found.counts.sum(axis=0)).ravel() / found.counts.sum()
    assert shares == pytest.approx(np.full(10, 0.1), abs=0.04)


def test_mean_vectors_do_not_depend_on_the_number_of_events(observed: Observations) -> None:
    means, has = mean_vectors(observed, ITEMS, vectors())
    assert has.all()
    counts = observed.events.group_by(UNIT).len().sort(UNIT)["len"].to_numpy()
    correlation = np.corrcoef(np.log2(counts), means.T)[0, 1:]
    assert np.abs(correlation).max() < 1e-4


def test_items_without_vectors_are_left_out(observed: Observations) -> None:
    means, has = mean_vectors(observed, ITEMS[:1], vectors()[:1])
    with_first = observed.events.filter(pl.col(columns.ITEM) == ITEMS[0])[UNIT].n_unique()
    assert len(means) == has.sum() == with_first
