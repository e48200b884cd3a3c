"""Data no shop would boast of still give a model, finite scores and full lists."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from counterpoint import columns, examples, splits, training
from counterpoint.config import FeaturesConfig, SplitConfig
from counterpoint.histories import order_events
from counterpoint.recommender import Recommender
from counterpoint.tables import Tables, conform
from tests.counterpoint import toys


def log(rows: list[tuple[str, str, int, bool]]) -> pl.DataFrame:
    """Interactions of (user, item, minute, positive)."""
    frame = pl.DataFrame(
        {
            columns.ROW: range(len(rows)),
            columns.USER: [row[0] for row in rows],
            columns.ITEM: [row[1] for row in rows],
            columns.TIMESTAMP: [toys.START + timedelta(minutes=row[2]) for row in rows],
            columns.POSITIVE: [row[3] for row in rows],
        }
    )
    return conform(frame, columns.INTERACTIONS, table="interactions")


def fit(rows: list[tuple[str, str, int, bool]], workdir: Path, protocol: str) -> Recommender:
    full = toys.world()
    split = SplitConfig.model_validate({"protocol": protocol})
    folded = splits.assign(order_events(log(rows), seed=0), split)
    tables = Tables(log(rows), full.items.clear(), full.users.clear())
    drawn = examples.plain_examples(folded, tables.users, FeaturesConfig(split=split))
    return training.fit(
        folded, tables.items, tables.users, drawn, toys.small_config(), workdir=workdir
    )


def many(items: int, *, users: int = 20, still: bool = False) -> list[tuple[str, str, int, bool]]:
    rng = np.random.default_rng(0)
    return [
        (f"u{u}", f"i{i}", 0 if still else u * 10 + p, True)
        for u in range(users)
        for p, i in enumerate(rng.permutation(items))
    ]


@pytest.mark.parametrize("protocol", ["per_user", "leave_last_out"])
@pytest.mark.parametrize(
    "rows",
    [
        many(3),
        many(4, still=True),
        [*many(6), *many(6), *many(6)],
        [*many(5), *((f"once{n}", "i0", n, True) for n in range(9))],
        [(u, i, t, int(i[1:]) % 3 > 0) for u, i, t, _ in many(9)],
    ],
    ids=["three items", "equal timestamps", "every event thrice", "one event", "few liked"],
)
def test_odd_data_train_and_recommend(rows, protocol: str, tmp_path: Path) -> None:
    model = fit(rows, tmp_path, protocol)
    users = toys.histories([(0, True)], [], [(0, True), (1, False)])
    assert np.isfinite(model.score(users)).all()
    lists = model.recommend(users, 100)
    left = model.n_items * 3 - 3
    assert len(lists) == left and lists[columns.SCORE].is_finite().all()
