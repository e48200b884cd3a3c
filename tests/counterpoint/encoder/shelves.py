"""A world whose texts tell what users like, in words a random backbone has to learn to heed."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from counterpoint import columns, splits
from counterpoint.config import SplitConfig, TrainConfig
from counterpoint.histories import order_events
from counterpoint.tables import Tables, conform

TASTES = ("space war star ship", "farm field cow", "love kiss heart", "city crime police thief")
COMMON = "story of the a and drama comedy".split()
START = datetime(2024, 1, 1, tzinfo=UTC)


def shelves(*, users: int = 120, items: int = 160, seed: int = 0) -> Tables:
    rng = np.random.default_rng(seed)
    titles = []
    for item in range(items):
        own = rng.choice(TASTES[item % len(TASTES)].split())
        titles.append(" ".join(rng.permutation([own, *rng.choice(COMMON, 7)])))
    rows = []
    for user in range(users):
        own = [item for item in range(items) if item % len(TASTES) == user % len(TASTES)]
        for place, item in enumerate(rng.permutation(own)[: rng.integers(20, 36)]):
            rows.append((f"u{user}", f"i{item}", START + timedelta(minutes=int(place))))
    interactions = pl.DataFrame(
        {
            columns.ROW: range(len(rows)),
            columns.USER: [user for user, *_ in rows],
            columns.ITEM: [item for _, item, _ in rows],
            columns.TIMESTAMP: [when for *_, when in rows],
            columns.POSITIVE: [True] * len(rows),
        }
    )
    described = pl.DataFrame(
        {columns.ITEM: [f"i{item}" for item in range(items)], columns.TITLE: titles}
    )
    split = SplitConfig(protocol="leave_last_out")
    ordered = order_events(
        conform(interactions, columns.INTERACTIONS, table="interactions"), seed=0
    )
    return Tables(
        splits.assign(ordered, split),
        conform(described, columns.ITEMS, table="items"),
        conform(pl.DataFrame({columns.USER: ["u0"]}), columns.USERS, table="users"),
    )


def config(folder: Path, cache: Path, **tune) -> TrainConfig:
    settings = {
        "weights": {"method": "full"},
        "max_steps": 40,
        "batch_size": 64,
        "learning_rate": 3e-3,
        "evaluate_steps": 10,
        "withheld": 0.2,
    } | tune
    return TrainConfig.model_validate(
        {
            "encoder": {
                "model": str(folder),
                "cache": str(cache),
                "max_tokens": 16,
                "tune": settings,
            }
        }
    )
