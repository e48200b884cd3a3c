"""Fits with everything that is off by default switched on."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from counterpoint import chosen_objectives, plugins, training
from counterpoint.errors import ConfigError
from counterpoint.recommender import Recommender
from tests.counterpoint import toys


def fit(workdir: Path, **over: Any) -> Recommender:
    tables = toys.world()
    folded, drawn = toys.prepared(tables)
    config = toys.small_config(**over)
    return training.fit(folded, tables.items, tables.users, drawn, config, workdir=workdir)


EVERY: dict[str, dict[str, Any]] = {
    name: {} for name in plugins.names(chosen_objectives.OBJECTIVES)
}
FIT = {"epochs": 2, "min_steps": 8, "batch_size": 16, "checkpoint_steps": 5}


@pytest.mark.parametrize("how", ["fixed", "uncertainty", "gradient"])
@pytest.mark.parametrize("largest", [50_000, 10])
def test_all_objectives_train_together(tmp_path: Path, how: str, largest: int) -> None:
    size = {"task_weights": how, "max_full_softmax_items": largest}
    recommender = fit(tmp_path, objectives=EVERY, fit=FIT | size)
    curves = recommender.report["curves"]["final"]
    assert set(curves["terms"]) == set(curves["weights"]) == set(EVERY)
    assert all(np.isfinite(values).all() for values in curves["terms"].values())
    assert np.isfinite(recommender.score(toys.histories([(0, True)], []))).all()


@pytest.mark.parametrize("name", sorted(EVERY))
def test_each_objective_trains_alone(tmp_path: Path, name: str) -> None:
    recommender = fit(tmp_path, objectives={name: {"weight": 1.0}}, fit=FIT)
    total = recommender.report["curves"]["final"]["total"]
    assert len(total) == 8 and np.isfinite(total).all()


@pytest.mark.parametrize(
    "tower",
    [
        {"layers": 3},
        {"graph": "lightgcn", "history_smoothing": 0.5},
        {"neighbours": 0, "history_smoothing": 0.5},
        {"temperature_schedule": "cosine"},
        {"user_smoothing": 0.3, "landmarks": 5},
    ],
    ids=lambda tower: next(iter(tower)),
)
def test_options_of_the_towers_change_the_model(tmp_path: Path, tower: dict[str, Any]) -> None:
    users = toys.histories([(0, True), (3, False)])
    plain = fit(tmp_path, tower={"dim": 8, "neighbours": 4}, fit=FIT)
    other = fit(tmp_path, tower={"dim": 8, "neighbours": 4} | tower, fit=FIT)
    assert np.isfinite(other.score(users)).all()
    assert not np.allclose(other.score(users), plain.score(users))


def test_an_objective_that_lacks_what_it_needs_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the items have no text"):
        fit(tmp_path, objectives={"two_view": {"tower": "item"}})
