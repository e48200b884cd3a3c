import json
from dataclasses import replace
from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from counterpoint import columns, faithfulness, leave_out, training
from counterpoint.errors import DataError
from counterpoint.explain import Explanation, explain
from counterpoint.histories import Histories, from_events
from counterpoint.recommender import Recommender
from counterpoint.score_parts import score_parts
from counterpoint.tables import Tables, conform
from tests.counterpoint import toys


@pytest.fixture(scope="module")
def recommender(tmp_path_factory) -> Recommender:
    tables = toys.world()
    folded, drawn = toys.prepared(tables)
    workdir = tmp_path_factory.mktemp("work")
    return training.fit(
        folded, tables.items, tables.users, drawn, toys.small_config(), workdir=workdir
    )


CLUSTERS, SIZE = 8, 8


def clusters(users: int = 120, *, seed: int = 0) -> Tables:
    """Items in clusters; a user likes five items of each of three clusters, in any order."""
    rng = np.random.default_rng(seed)
    rows = []
    for user in range(users):
        own = rng.choice(CLUSTERS, 3, replace=False)
        liked = np.concatenate([c * SIZE + rng.permutation(SIZE)[:5] for c in own])
        for place, item in enumerate(rng.permutation(liked)):
            rows.append((f"u{user}", f"i{item}", toys.START + timedelta(minutes=place)))
    interactions = pl.DataFrame(
        rows, schema=[columns.USER, columns.ITEM, columns.TIMESTAMP], orient="row"
    ).with_row_index(columns.ROW)
    items = pl.DataFrame({columns.ITEM: [f"i{item}" for item in range(CLUSTERS * SIZE)]})
    return Tables(
        conform(
            interactions.with_columns(pl.lit(True).alias(columns.POSITIVE)),
            columns.INTERACTIONS,
            table="interactions",
        ),
        conform(items, columns.ITEMS, table="items"),
        conform(pl.DataFrame({columns.USER: ["u0"]}), columns.USERS, table="users"),
    )


@pytest.fixture(scope="module")
def crowd(tmp_path_factory) -> tuple[Recommender, Histories]:
    tables = clusters()
    folded, drawn = toys.prepared(tables)
    workdir = tmp_path_factory.mktemp("clusters")
    config = toys.small_config(fit={"epochs": 12, "min_steps": 60, "batch_size": 32})
    model = training.fit(folded, tables.items, tables.users, drawn, config, workdir=workdir)
    users = folded[columns.USER].unique().sort().to_list()
    return model, from_events(folded, model.item_index, user_ids=users)


def best(recommender: Recommender, user: Histories, k: int = 1) -> str:
    return recommender.recommend(user, k)[columns.ITEM][k - 1]


def test_contributions_are_the_falls_of_the_score_without_each_item(recommender) -> None:
    user = toys.histories([(0, True), (5, False), (2, True), (0, True)])
    item = best(recommender, user)
    index = recommender.item_index[item]
    explanation = explain(recommender, user, item)
    assert explanation.score == pytest.approx(recommender.score(user)[0, index], abs=1e-5)
    assert {e.name: e.liked for e in explanation.events} == {"i0": True, "i2": True, "i5": False}
    falls = [e.contribution for e in explanation.events]
    assert falls == sorted(falls, reverse=True)
    everything = [*explanation.events, *explanation.attributes]
    assert sum(abs(e.share) for e in everything) == pytest.approx(1)
    by_name = {e.name: e for e in explanation.events}
    keep = np.array([[True, True, False, True], [False, True, True, False]])
    hidden = leave_out.occlude(recommender, user, keep, [[], []], index)
    for name, score, rank in zip(("i2", "i0"), hidden.score, hidden.rank, strict=True):
        assert by_name[name].contribution == pytest.approx(explanation.score - score, abs=1e-5)
        assert by_name[name].rank_without == rank


def test_a_hidden_event_counts_for_nothing_but_stays_met(recommender) -> None:
    """Two users who met the same items and liked the same ones get one score, z-scores and all."""
    user = toys.histories([(4, True), (0, True), (2, True)])
    keep = np.array([[False, True, True]])
    twice = toys.histories([(0, True), (0, True), (2, True)])
    same = leave_out.occlude(recommender, twice, keep, [[]], 6)
    once = recommender.score(toys.histories([(0, True), (2, True)]))[0, 6]
    assert same.score[0] == pytest.approx(once, abs=1e-5)
    assert leave_out.occlude(recommender, user, keep, [[]], 6).score[0] != pytest.approx(once)


def test_removed_events_never_happened(recommender) -> None:
    user = toys.histories([(0, True), (5, False), (2, True)], attributes=[["club=space"]])
    shorter = toys.histories([(0, True), (5, False)], attributes=[["club=space"]])
    keep = np.array([[True, True, False], [True, True, True]])
    item = 4
    found = leave_out.remove(recommender, user, keep, item)
    np.testing.assert_allclose(found.score[0], recommender.score(shorter)[0, item], atol=1e-5)
    np.testing.assert_allclose(found.score[1], recommender.score(user)[0, item], atol=1e-5)


def test_named_items_matter_more_than_others(crowd) -> None:
    """Removing them lowers the score, and lowers it more than removing as many liked at random."""
    found = faithfulness.deletions(*crowd, pairs=60, seed=0)
    named, other = found[faithfulness.EXPLAINED], found[faithfulness.RANDOM]
    assert len(named.fall) == 60
    assert (named.fall > 0).mean() >= 0.95
    assert (named.fall > other.fall).mean() >= 0.9
    assert np.median(named.fall) > 2 * max(np.median(other.fall), 0)
    assert np.median(named.places) > np.median(other.places)
    assert np.median(found[faithfulness.SERVED].fall) > np.median(other.fall)


def test_named_items_share_the_cluster_of_the_item(crowd) -> None:
    recommender, everybody = crowd
    hits = []
    for index in range(20):
        user = everybody.take(np.array([index]))
        explanation = explain(recommender, user, best(recommender, user))
        cluster = int(explanation.item_id[1:]) // SIZE
        hits += [int(name[1:]) // SIZE == cluster for name in explanation.named]
    assert np.mean(hits) > 0.8


def test_what_is_named_is_put_to_the_test(crowd) -> None:
    recommender, everybody = crowd
    user = everybody.take(np.array([0]))
    explanation = explain(recommender, user, best(recommender, user), named=2)
    assert len(explanation.named) == 2
    gone = [recommender.item_index[name] for name in explanation.named]
    keep = ~np.isin(user.items, gone)
    without = leave_out.variants(user, keep[None, :])
    index = recommender.item_index[explanation.item_id]
    assert explanation.without_named == pytest.approx(recommender.score(without)[0, index])


@pytest.mark.parametrize(
    ("events", "attributes", "because"),
    [
        ([(0, True)], ["club=space"], "history"),
        ([(5, False)], ["club=space"], "attributes"),
        ([], ["club=space"], "attributes"),
        ([], ["shoe=43"], "popular"),
        ([], [], "popular"),
    ],
)
def test_a_history_attributes_or_nothing(recommender, events, attributes, because) -> None:
    user = toys.histories(events, attributes=[attributes])
    explanation = explain(recommender, user, best(recommender, user))
    assert explanation.because == because and explanation.rank == 1
    assert bool(explanation.named) == (explanation.without_named is not None)
    assert because == "history" or not explanation.named
    if because != "popular":
        assert [a.name for a in explanation.attributes] == ["club=space"]
    if not events:
        assert set(explanation.parts) <= {"prior", "cold boost"}
        assert sum(explanation.parts.values()) == pytest.approx(explanation.score)
    if because == "attributes" and not events:
        assert explain(recommender, user, "i12").attributes[0].contribution > 0


def test_parts_add_up_to_the_score_of_warm_and_cold_items(recommender) -> None:
    user = toys.histories([(0, True), (3, False), (2, True)], attributes=[["club=space"]])
    for item, cold in (("i4", False), ("i20", True)):
        index = recommender.item_index[item]
        parts = score_parts(recommender, user, index)
        assert sum(parts.values()) == pytest.approx(recommender.score(user)[0, index], abs=1e-4)
        assert ("cold boost" in parts) == cold
        assert explain(recommender, user, item).cold == cold
        assert cold or abs(parts["rest"]) <= 1e-4
        assert max(abs(parts[name]) for name in parts) > 0.1


def test_unknown_and_met_items_are_refused(recommender) -> None:
    user = toys.histories([(0, True)])
    with pytest.raises(DataError, match=r"'nope' is not in the model's catalogue of 24"):
        explain(recommender, user, "nope")
    with pytest.raises(DataError, match=r"'i0' is in the history of user 'h0'"):
        explain(recommender, user, "i0")
    with pytest.raises(ValueError, match="2 users"):
        explain(recommender, toys.histories([], []), "i0")


def test_users_who_like_too_little_cannot_be_compared(recommender) -> None:
    with pytest.raises(DataError, match="likes 6 different items"):
        faithfulness.deletions(recommender, toys.histories([(0, True)]), pairs=3, seed=0)


def test_only_what_the_model_reads_is_explained(recommender) -> None:
    short = replace(recommender, settings=replace(recommender.settings, history_length=2))
    user = toys.histories([(0, True), (1, True), (2, True)])
    explanation = explain(short, user, "i4")
    assert {e.name for e in explanation.events} == {"i1", "i2"}
    with pytest.raises(DataError, match="in the history"):
        explain(short, user, "i0")


def test_an_explanation_is_plain_json(recommender) -> None:
    user = toys.histories([(0, True)])
    explanation = explain(recommender, user, "i4")
    again = json.loads(json.dumps(explanation.plain()))
    assert again["item_id"] == "i4" and again["events"][0]["name"] == "i0"
    assert isinstance(explanation, Explanation)


def test_a_new_item_is_explained_too(recommender) -> None:
    new = pl.DataFrame({columns.ITEM: ["fresh"], columns.ATTRIBUTES: [["genre=space"]]})
    extended = recommender.extend(new)
    user = toys.histories([(0, True), (2, True), (4, True)])
    explanation = explain(extended, user, "fresh")
    assert explanation.cold and explanation.title == "fresh" and explanation.parts["cold boost"]
