from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from counterpoint import columns, examples, splits, training
from counterpoint.config import FeaturesConfig, TrainConfig
from counterpoint.errors import ConfigError, DataError
from counterpoint.histories import from_events, order_events
from counterpoint.recommender import Recommender
from counterpoint.tables import Tables
from tests.counterpoint import logs, toys


def fit(tables: Tables, config: TrainConfig, workdir: Path, **split: object) -> Recommender:
    folded, drawn = toys.prepared(tables, **split)
    return training.fit(folded, tables.items, tables.users, drawn, config, workdir=workdir)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Recommender:
    return fit(toys.world(), toys.small_config(), tmp_path_factory.mktemp("work"))


def taste_share(recommender: Recommender, events: list, attributes: list[str] | None = None):
    """Share of items of the first taste (even numbers) among the best six."""
    user = toys.histories(events, attributes=[attributes or []])
    best = recommender.recommend(user, 6)[columns.ITEM]
    return np.mean([int(item[1:]) % 2 == 0 for item in best])


def test_a_history_a_profile_and_nothing_each_get_sensible_lists(trained) -> None:
    index = trained.item_index
    even, odd = [[(index[f"i{i}"], True) for i in which] for which in ((0, 2, 4), (1, 3, 5))]
    assert taste_share(trained, even) > 0.6 > 0.4 > taste_share(trained, odd)
    assert taste_share(trained, [], ["club=space"]) > 0.6
    assert taste_share(trained, [], ["club=farm"]) < 0.4
    start_page = trained.recommend(toys.histories([]), 24)
    assert len(start_page) == 24 and start_page[columns.SCORE].is_finite().all()


def test_cold_items_follow_the_users_taste(trained) -> None:
    index = trained.item_index
    cold = [f"i{i}" for i in range(16, 24)]
    users = toys.histories(*[[(index[f"i{i + t}"], True) for i in (0, 4, 8)] for t in (0, 1)])
    scores = trained.score(users)[:, [index[item] for item in cold]]
    is_even = np.array([int(item[1:]) % 2 == 0 for item in cold])
    assert scores[0, is_even].min() > scores[0, ~is_even].max()
    assert scores[1, ~is_even].min() > scores[1, is_even].max()


def test_what_was_chosen_is_recorded(trained) -> None:
    report = trained.report
    assert report["validation"]["users"] == 30 and 0 <= report["validation"]["ndcg@10"] <= 1
    assert report["validation"]["ndcg@10"] >= report["validation"]["start_ndcg@10"]
    steps = {record["step"] for record in report["tried"]}
    assert {"start page", "linear alone", "tower, round 1", "second, round 1"} <= steps
    for setting in ("linear", "tower", "prior"):
        values = [r for r in report["tried"] if r["step"] == f"{setting}, round 1"]
        assert sum(r["taken"] for r in values) == 1 and len(values) > 1
    assert report["skipped"] == []
    assert report["choose"]["steps"] == 12 and report["choose-longer"]["steps"] == 24
    assert report["final"]["steps"] == (
        24 if report["choices"]["tower_variant"] == "longer" else 12
    )
    taken = trained.settings.fusion
    assert list(report["choices"]["linear"].values()) == list(taken.linears)
    assert report["choices"]["tower"] == taken.tower


def test_a_budget_of_nothing_keeps_the_start(tmp_path: Path) -> None:
    recommender = fit(toys.world(), toys.small_config(choices={"budget_seconds": 0.0}), tmp_path)
    report = recommender.report
    assert report["choices"]["linear"] == {"cease/recent": 1.0} and report["tried"] == []
    assert "choose" not in report and "budget" in report["validation"]["why"]


def test_a_small_budget_says_what_it_skips(tmp_path: Path) -> None:
    recommender = fit(toys.world(), toys.small_config(choices={"budget_seconds": 0.06}), tmp_path)
    skipped = recommender.report["skipped"]
    assert any(line.startswith("linear slist") for line in skipped)
    assert "choose-longer" not in recommender.report or "longer" not in "".join(skipped)


def test_an_unknown_linear_start_names_the_known_ones(tmp_path: Path) -> None:
    config = toys.small_config(fusion={"linear": "ease/flat"})
    with pytest.raises(ConfigError) as caught:
        fit(toys.world(), config, tmp_path)
    assert "'ease/flat'" in caught.value.faults[0] and "cease/recent" in caught.value.faults[0]


def test_one_seed_gives_one_model(trained, tmp_path: Path) -> None:
    again = fit(toys.world(), toys.small_config(), tmp_path)
    users = toys.histories([(0, True), (3, False)], [])
    np.testing.assert_array_equal(again.score(users), trained.score(users))
    other = fit(toys.world(), toys.small_config(seed=1), tmp_path)
    assert not np.array_equal(other.score(users), trained.score(users))


def test_the_test_fold_is_not_looked_at(trained, tmp_path: Path) -> None:
    tables = toys.world()
    folded, drawn = toys.prepared(tables)
    hidden = folded.filter(~pl.col(columns.FOLD).str.starts_with("test"))
    assert len(hidden) < len(folded)
    blind = training.fit(
        hidden, tables.items, tables.users, drawn, toys.small_config(), workdir=tmp_path
    )
    users = toys.histories([(0, True)])
    np.testing.assert_array_equal(blind.score(users), trained.score(users))


def test_few_validation_users_are_joined_by_every_users_last_positives(tmp_path: Path) -> None:
    tables = toys.world()
    folded, drawn = toys.prepared(tables)
    few = folded.filter(
        (pl.col(columns.FOLD) != "valid_target") | pl.col(columns.USER).is_in(["u1", "u2"])
    )
    recommender = training.fit(
        few, tables.items, tables.users, drawn, toys.small_config(), workdir=tmp_path
    )
    why = recommender.report["validation"]["why"]
    assert "has 2 users, fewer than 5: chosen on the last positives of 25 users" in why
    assert recommender.report["validation"]["users"] == 25


def test_too_few_users_for_any_choice_keep_the_start(tmp_path: Path) -> None:
    recommender = fit(toys.world(users=6), toys.small_config(), tmp_path)
    report = recommender.report
    assert (
        report["validation"]["ndcg@10"] is None and "start is kept" in report["validation"]["why"]
    )
    assert report["choices"]["tower"] == pytest.approx(6 / 300)


def test_a_killed_fit_continues_to_the_same_model(trained, tmp_path: Path, monkeypatch) -> None:
    saved = training.fitting.trainer.checkpoints.save

    class Killed(Exception):
        pass

    def dies(folder: Path, step: int, *rest: object) -> None:
        saved(folder, step, *rest)
        if folder.name == "final" and step == 10:
            raise Killed

    monkeypatch.setattr(training.fitting.trainer.checkpoints, "save", dies)
    with pytest.raises(Killed):
        fit(toys.world(), toys.small_config(), tmp_path)
    monkeypatch.undo()
    resumed = fit(toys.world(), toys.small_config(), tmp_path)
    assert resumed.report["choose"]["resumed_at"] == 12
    assert resumed.report["final"]["resumed_at"] == 10
    users = toys.histories([(0, True), (3, False)])
    np.testing.assert_array_equal(resumed.score(users), trained.score(users))
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


def test_unknown_objectives_and_options_are_all_named(tmp_path: Path) -> None:
    config = toys.small_config(objectives={"info_nec": {}, "info_nce": {"samples": 0, "tau": 1}})
    with pytest.raises(ConfigError) as caught:
        fit(toys.world(), config, tmp_path)
    faults = "\n".join(caught.value.faults)
    assert len(caught.value.faults) == 3
    assert "'info_nec'. Known:" in faults and "samples = 0" in faults and "info_nce.tau" in faults
    with pytest.raises(ConfigError, match="objectives is empty"):
        fit(toys.world(), toys.small_config(objectives={}), tmp_path)


def test_validation_without_any_unseen_item_falls_back(tmp_path: Path) -> None:
    tables = toys.world()
    folded, drawn = toys.prepared(tables)
    again = folded.filter(pl.col(columns.FOLD) == splits.TRAIN).with_columns(
        pl.lit("valid_target").alias(columns.FOLD),
        pl.col(columns.TIMESTAMP).dt.offset_by("1y"),
    )
    both = pl.concat([folded.filter(pl.col(columns.FOLD) == splits.TRAIN), again])
    recommender = training.fit(
        both, tables.items, tables.users, drawn, toys.small_config(), workdir=tmp_path
    )
    assert "0 users" in recommender.report["validation"]["why"]


@pytest.mark.parametrize("keep", ["items", "users", "neither"])
def test_tables_may_be_missing(tmp_path: Path, keep: str) -> None:
    full = toys.world()
    tables = Tables(
        full.interactions,
        full.items if keep == "items" else full.items.clear(),
        full.users if keep == "users" else full.users.clear(),
    )
    recommender = fit(tables, toys.small_config(), tmp_path)
    scores = recommender.score(toys.histories([(0, True)], []))
    assert np.isfinite(scores).all()
    assert recommender.n_items == (24 if keep == "items" else 16)


def test_data_without_time_train_too(tmp_path: Path) -> None:
    full = toys.world()
    still = full.interactions.with_columns(
        pl.lit(toys.START).cast(columns.INSTANT).alias("timestamp")
    )
    recommender = fit(Tables(still, full.items, full.users), toys.small_config(), tmp_path)
    assert np.isfinite(recommender.score(toys.histories([(0, True)]))).all()


def test_no_items_at_all(tmp_path: Path) -> None:
    tables = toys.world()
    folded, drawn = toys.prepared(tables)
    with pytest.raises(DataError, match="no items"):
        training.fit(
            folded.clear(),
            tables.items.clear(),
            tables.users,
            drawn.clear(),
            toys.small_config(),
            workdir=tmp_path,
        )


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rows=logs.rows(min_size=1, max_size=40), minimum=st.sampled_from([1, 50]))
def test_any_log_gives_finite_scores_and_full_lists(tmp_path: Path, rows, minimum) -> None:
    tables = logs.tables(rows)
    ordered = order_events(tables.interactions, seed=0)
    later = pl.int_range(pl.len()).over(columns.USER) >= pl.len().over(columns.USER) - 1
    folded = ordered.with_columns(
        pl.when(later)
        .then(pl.lit("valid_target"))
        .otherwise(pl.lit(splits.TRAIN))
        .alias(columns.FOLD)
    )
    drawn = examples.plain_examples(folded, tables.users, FeaturesConfig(examples_per_user=2))
    config = toys.small_config(
        fit={"epochs": 1, "min_steps": 2, "batch_size": 4},
        choices={"min_valid_users": minimum},
    )
    recommender = training.fit(folded, tables.items, tables.users, drawn, config, workdir=tmp_path)
    users = [*logs.STRANGE_USERS, "nobody"]
    histories = from_events(ordered, recommender.item_index, user_ids=users)
    assert np.isfinite(recommender.score(histories)).all()
    lists = recommender.recommend(histories, recommender.n_items)
    met = histories.matrix(recommender.n_items, positive_only=False)
    left = recommender.n_items - np.diff(met.indptr)
    assert len(lists) == left.sum()
