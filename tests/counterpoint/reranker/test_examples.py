"""No example sees the future of its event."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoint import columns, splits
from counterpoint.config.reranker import RerankerConfig
from counterpoint.histories import from_events, order_events
from counterpoint.reranker import examples
from counterpoint.reranker.examples import NONE
from counterpoint.reranker.statistics import NAMES, SHRINKAGE, ItemStatistics, Units
from tests.counterpoint import toys

START = datetime(2024, 1, 1, tzinfo=UTC)
EVENTS = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.integers(0, 4),
        st.integers(0, 20),
        st.one_of(st.none(), st.integers(1, 5)),
    ),
    min_size=1,
    max_size=30,
)


def table(rows) -> pl.DataFrame:
    return pl.DataFrame(
        {
            columns.ROW: range(len(rows)),
            columns.USER: [f"u{user}" for user, *_ in rows],
            columns.ITEM: [f"i{item}" for _, item, *_ in rows],
            columns.TIMESTAMP: [START + timedelta(seconds=t) for _, _, t, _ in rows],
            columns.EVENT: ["rating"] * len(rows),
            columns.VALUE: [None if value is None else float(value) for *_, value in rows],
            columns.POSITIVE: [value is None or value >= 4 for *_, value in rows],
        },
        schema=columns.INTERACTIONS,
    )


@settings(max_examples=60, deadline=None)
@given(EVENTS, st.integers(0, 21))
def test_statistics_count_what_was_before_and_nothing_else(rows, second: int) -> None:
    events = order_events(table(rows), seed=0)
    index = {f"i{item}": item for item in range(5)}
    units = Units.of(events)
    moment = int((START + timedelta(seconds=second)).timestamp() * 1e6)
    found = ItemStatistics(events, index, units).at(np.arange(5), np.full(5, moment))
    past = events.filter(pl.col(columns.TIMESTAMP).dt.epoch("us") < moment)
    everything = ItemStatistics(past, index, units).at(np.arange(5), None)
    np.testing.assert_allclose(found, everything, atol=1e-6)
    for item in range(5):
        own = past.filter(pl.col(columns.ITEM) == f"i{item}")
        positive, values = own[columns.POSITIVE].sum(), own[columns.VALUE].drop_nulls()
        share = (positive + 1) * 5 / (past[columns.POSITIVE].sum() + 5)
        liked = (positive - len(own) * units.liked) / (len(own) + SHRINKAGE)
        rated = (values.sum() - len(values) * units.mean) / (len(values) + SHRINKAGE)
        expected = [np.log(share), liked, rated / units.spread]
        np.testing.assert_allclose(found[item], expected, atol=1e-5, err_msg=str(NAMES))


@settings(max_examples=40, deadline=None)
@given(EVENTS)
def test_a_history_is_what_the_same_user_did_before(rows) -> None:
    events = order_events(table(rows), seed=0)
    users = events[columns.USER].unique().sort().to_list()
    whole = from_events(events, {f"i{item}": item for item in range(5)}, user_ids=users)
    at = np.arange(len(whole.items))
    for length in (2, 100):
        found = examples.before(whole, at, length)
        for row in at:
            past = slice(found.indptr[row], found.indptr[row + 1])
            owner = whole.owners[row]
            earlier = (whole.owners == owner) & (whole.timestamps < whole.timestamps[row])
            np.testing.assert_array_equal(found.items[past], whole.items[earlier][-length:])
            np.testing.assert_array_equal(found.positive[past], whole.positive[earlier][-length:])
            assert found.user_ids[row] == whole.user_ids[owner]


class ByNumber:
    """Scores items by their index, the last one highest."""

    def score(self, histories):
        return np.tile(np.arange(24, dtype=np.float32), (len(histories), 1))


@pytest.fixture(scope="module")
def folded() -> pl.DataFrame:
    return toys.prepared(toys.world(), protocol="per_user")[0]


CONFIG = RerankerConfig.model_validate(
    {"negatives": {"popular": 2, "retrieved": 1}, "depth": 10, "max_examples": 150}
)
INDEX = {f"i{item}": item for item in range(24)}


def test_training_examples_hold_the_event_and_items_the_user_never_met(folded) -> None:
    found = examples.of_training(folded, INDEX, {}, ByNumber(), CONFIG, length=50, seed=0)
    train = splits.fit_events(folded, "choose")
    met = {
        user: set(group[columns.ITEM])
        for (user,), group in train.group_by(columns.USER)
        if isinstance(user, str)
    }
    assert len(found) == 150
    for row in range(len(found)):
        user = found.histories.user_ids[row]
        past = found.histories.items[found.histories.indptr[row] : found.histories.indptr[row + 1]]
        item = int(found.items[row, 0])
        event = train.filter((pl.col(columns.USER) == user) & (pl.col(columns.ITEM) == f"i{item}"))
        assert len(event) == 1
        time = event[columns.TIMESTAMP][0]
        earlier = train.filter(
            (pl.col(columns.USER) == user) & (pl.col(columns.TIMESTAMP) < time)
        ).sort(columns.TIMESTAMP)
        assert [f"i{i}" for i in past] == earlier[columns.ITEM].to_list()
        assert len(past) > 0
        positive = event[columns.POSITIVE][0]
        assert found.click[row, 0] == float(positive)
        drawn = found.items[row, 1:][found.items[row, 1:] != NONE]
        assert len(set(drawn)) == len(drawn)
        assert not {f"i{i}" for i in drawn} & met[user]
        assert (len(drawn) > 0) == positive
        assert np.isnan(found.click[row, 1:][found.items[row, 1:] == NONE]).all()
        assert (found.click[row, 1:][found.items[row, 1:] != NONE] == 0).all()
        if positive:
            best = [i for i in range(23, -1, -1) if i not in past][:10]
            assert drawn[0] in best
    statistics = ItemStatistics(train, INDEX, Units.of(train))
    times = {(r[0], r[1]): r[2] for r in train.select("user_id", "item_id", "timestamp").rows()}
    first = [
        int(times[user, f"i{item}"].timestamp() * 1e6 + 0.5)
        for user, item in zip(found.histories.user_ids, found.items[:, 0], strict=True)
    ]
    np.testing.assert_allclose(
        found.statistics[:, 0], statistics.at(found.items[:, 0], np.array(first)), atol=1e-6
    )


def test_the_fold_is_judged_by_what_was_known_before_it(folded) -> None:
    found = examples.of_fold(
        folded, "test", INDEX, {}, ByNumber(), CONFIG, length=50, most=None, seed=0
    )
    targets = folded.filter(pl.col(columns.FOLD) == "test_target")
    assert len(found) == len(targets)
    known = folded.filter(pl.col(columns.FOLD).is_in(splits.HISTORY_FOLDS["test"]))
    for row, user in enumerate(found.histories.user_ids):
        part = slice(found.histories.indptr[row], found.histories.indptr[row + 1])
        own = known.filter(pl.col(columns.USER) == user).sort(columns.TIMESTAMP)
        assert [f"i{i}" for i in found.histories.items[part]] == own[columns.ITEM].to_list()
        everything = set(folded.filter(pl.col(columns.USER) == user)[columns.ITEM])
        drawn = found.items[row, 1:][found.items[row, 1:] != NONE]
        assert not {f"i{i}" for i in drawn} & everything


def test_scores_are_standardised_over_the_best() -> None:
    scores = np.array([[5.0, 3.0, 1.0, -np.inf], [0.0, 0.0, 0.0, 0.0]], dtype=np.float32)
    found = examples.standardised(scores, np.array([[0, 1], [0, 1]]))
    np.testing.assert_allclose(found[0], [1, -1, -3, -examples.FAR], atol=1e-6)
    np.testing.assert_array_equal(found[1], 0)
