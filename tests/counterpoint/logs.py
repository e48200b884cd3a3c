"""Small random event logs, with ties, repeated items, silent users and strange ids."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
from hypothesis import strategies as st

from counterpoint import columns
from counterpoint.config import FeaturesConfig, SplitConfig
from counterpoint.histories import order_events
from counterpoint.tables import Tables, conform

START = datetime(2020, 1, 1, tzinfo=UTC)
STRANGE_USERS = [
    "u0",
    "01",
    "1",
    "o'neil",
    'say "hi"',
    "a,b;c|d",
    "münchen 東京",
    "NULL",
    "u 8",
    "é\n",
]


def tables(rows: list[tuple[int, int, int, bool]]) -> Tables:
    """Canonical tables of (user, item, seconds, positive) rows; user 9 has no profile."""
    interactions = pl.DataFrame(
        {
            columns.ROW: list(range(len(rows))),
            columns.USER: [STRANGE_USERS[user] for user, *_ in rows],
            columns.ITEM: [f"i{item}" for _, item, *_ in rows],
            columns.TIMESTAMP: [START + timedelta(seconds=s) for _, _, s, _ in rows],
            columns.EVENT: ["click"] * len(rows),
            columns.VALUE: [None] * len(rows),
            columns.POSITIVE: [positive for *_, positive in rows],
        },
        schema=columns.INTERACTIONS,
    )
    users = pl.DataFrame(
        {
            columns.USER: STRANGE_USERS[:9],
            columns.ATTRIBUTES: [["plan=free", f"age={u}"] if u % 3 else [] for u in range(8)]
            + [None],
        },
        schema=columns.USERS,
    )
    items = conform(
        pl.DataFrame(
            {
                columns.ITEM: [f"i{i}" for i in range(1, 8)],
                columns.TITLE: [f"Title {i}" if i > 1 else None for i in range(1, 8)],
                columns.ATTRIBUTES: [["genre=A"], [], None, ["genre=B", "genre=C"], [], [], []],
                columns.AVAILABLE_FROM: [START, None, None, None, None, None, START],
            },
            schema_overrides={columns.AVAILABLE_FROM: columns.INSTANT},
        ),
        columns.ITEMS,
        table="items",
    )
    return Tables(interactions, items, users)


def rows(
    min_size: int = 4, max_size: int = 60
) -> st.SearchStrategy[list[tuple[int, int, int, bool]]]:
    """Rows for ``tables``: few seconds and few items, so that ties and repetitions are common."""
    row = st.tuples(st.integers(0, 9), st.integers(0, 8), st.integers(0, 15), st.booleans())
    return st.lists(row, min_size=min_size, max_size=max_size)


def random_rows(seed: int, size: int = 300, seconds: int = 60) -> list[tuple[int, int, int, bool]]:
    """Rows for ``tables``, drawn with a seed."""
    rng = np.random.default_rng(seed)
    return [
        (int(u), int(i), int(s), bool(p))
        for u, i, s, p in zip(
            rng.integers(0, 10, size),
            rng.integers(0, 9, size),
            rng.integers(0, seconds, size),
            rng.random(size) < 0.6,
            strict=True,
        )
    ]


def ordered(source: Tables, config: FeaturesConfig) -> Tables:
    """The tables with ordered interactions."""
    log = order_events(source.interactions, seed=config.split.seed)
    return Tables(log, source.items, source.users)


def folded(source: Tables, config: FeaturesConfig) -> pl.DataFrame:
    """The ordered interactions with folds, cut per user, however few events there are."""
    log = order_events(source.interactions, seed=config.split.seed)
    place = (pl.int_range(pl.len()) / pl.len()).over(columns.USER)
    fold = pl.when(place < 0.6).then(pl.lit("train"))
    fold = fold.when(place < 0.8).then(pl.lit("valid_target"))
    return log.with_columns(fold.otherwise(pl.lit("test_target")).alias(columns.FOLD))


def config(**changes: object) -> FeaturesConfig:
    """A configuration that leaves something to every fold of a tiny log."""
    split = SplitConfig(protocol="per_user", valid_fraction=0.2, test_fraction=0.2)
    return FeaturesConfig.model_validate(
        {"split": split.model_dump(), "history_length": 5, "examples_per_user": 4, "targets": 3}
        | changes
    )
