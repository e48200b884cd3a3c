"""A small world with a signal: users of three tastes, each with items of its own genre."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from counterpoint import columns, splits
from counterpoint.config import SplitConfig
from counterpoint.histories import order_events
from counterpoint.tables import Tables, conform

START = datetime(2021, 5, 1, tzinfo=UTC)
TASTES = 3
PER_TASTE = 12


def world(users: int = 60, events: int = 10, *, seed: int = 0) -> Tables:
    """Canonical tables; nine of ten events follow the user's taste and are liked."""
    rng = np.random.default_rng(seed)
    rows = []
    for user in range(users):
        taste = user % TASTES
        own = rng.permutation(PER_TASTE)[:events] * TASTES + taste
        for place, item in enumerate(own):
            liked = rng.random() < 0.9
            other = int(rng.integers(TASTES * PER_TASTE))
            second = int(rng.integers(20)) + 30 * place
            rows.append((f"u{user}", f"i{item if liked else other}", second, liked))
    interactions = pl.DataFrame(
        {
            columns.ROW: list(range(len(rows))),
            columns.USER: [user for user, *_ in rows],
            columns.ITEM: [item for _, item, *_ in rows],
            columns.TIMESTAMP: [START + timedelta(seconds=s) for _, _, s, _ in rows],
            columns.POSITIVE: [liked for *_, liked in rows],
        }
    )
    ids = [f"i{n}" for n in range(TASTES * PER_TASTE)] + ["never met"]
    items = pl.DataFrame(
        {
            columns.ITEM: ids,
            columns.TITLE: [f"Title of {item}" for item in ids],
            columns.ATTRIBUTES: [[f"genre={n % TASTES}", f"part={n % 2}"] for n in range(len(ids))],
        }
    )
    people = pl.DataFrame({columns.USER: ["u0", "u1"], columns.ATTRIBUTES: [["age=25-34"], None]})
    return Tables(
        conform(interactions, columns.INTERACTIONS, table="interactions"),
        conform(items, columns.ITEMS, table="items"),
        conform(people, columns.USERS, table="users"),
    )


def folded(tables: Tables, split: SplitConfig) -> Tables:
    """The tables with ordered interactions and folds."""
    interactions = splits.assign(order_events(tables.interactions, seed=split.seed), split)
    return Tables(interactions, tables.items, tables.users)
