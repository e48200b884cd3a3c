"""A toy world of two tastes: small enough to train on in a second, clear enough to judge."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from counterpoint import columns, examples, splits
from counterpoint.config import FeaturesConfig, SplitConfig, TrainConfig
from counterpoint.graph import RecommenderModule
from counterpoint.histories import Histories, order_events
from counterpoint.tables import Tables, conform

TASTES = ("space", "farm")
START = datetime(2024, 1, 1, tzinfo=UTC)


def world(*, users: int = 30, items: int = 24, cold: int = 4, seed: int = 0) -> Tables:
    """Users like the items of their own taste; the last ``cold`` items of each were never seen."""
    rng = np.random.default_rng(seed)
    taste_of = [TASTES[item % 2] for item in range(items)]
    rows = []
    for user in range(users):
        own = [i for i in range(items - 2 * cold) if i % 2 == user % 2]
        other = [i for i in range(items - 2 * cold) if i % 2 != user % 2]
        liked = rng.permutation(own)[: len(own) - 1]
        disliked = rng.permutation(other)[:2]
        for place, item in enumerate(rng.permutation(np.concatenate([liked, disliked]))):
            rows.append((f"u{user}", f"i{item}", user * 100 + place, item in liked))
    interactions = pl.DataFrame(
        {
            columns.ROW: range(len(rows)),
            columns.USER: [user for user, *_ in rows],
            columns.ITEM: [item for _, item, *_ in rows],
            columns.TIMESTAMP: [START + timedelta(minutes=int(t)) for *_, t, _ in rows],
            columns.POSITIVE: [bool(positive) for *_, positive in rows],
        }
    )
    described = pl.DataFrame(
        {
            columns.ITEM: [f"i{item}" for item in range(items)],
            columns.TITLE: [f"{taste} story {item}" for item, taste in enumerate(taste_of)],
            columns.ATTRIBUTES: [[f"genre={taste}"] for taste in taste_of],
        }
    )
    profiles = pl.DataFrame(
        {
            columns.USER: [f"u{user}" for user in range(users)],
            columns.ATTRIBUTES: [[f"club={TASTES[user % 2]}"] for user in range(users)],
        }
    )
    return Tables(
        conform(interactions, columns.INTERACTIONS, table="interactions"),
        conform(described, columns.ITEMS, table="items"),
        conform(profiles, columns.USERS, table="users"),
    )


def prepared(
    tables: Tables, *, protocol: str = "leave_last_out", **split: float
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Interactions with folds, and the examples of both fits."""
    features = FeaturesConfig.model_validate(
        {"split": {"protocol": protocol, **split}, "examples_per_user": 4}
    )
    folded = splits.assign(
        order_events(tables.interactions, seed=0), SplitConfig.model_validate(features.split)
    )
    return folded, examples.plain_examples(folded, tables.users, features)


def small_config(**over: object) -> TrainConfig:
    """Tiny towers, few steps, no text encoder."""
    return TrainConfig.model_validate(
        {
            "encoder": {"model": None},
            "tower": {"dim": 8, "neighbours": 4},
            "fit": {"epochs": 4, "min_steps": 12, "batch_size": 16, "checkpoint_steps": 5},
            "linear": {
                "forms": {"cease": {"l2": 5.0, "dropout": 0.3}, "slist": {"share": 0.5, "l2": 5.0}},
                "weightings": {"recent": {"recency": 2.0}, "flat": {}},
                "l2_steps": [0.25],
            },
            "fusion": {"linear": "cease/recent", "tower": 1.0, "tower_weights": [0.5, 1.0]},
            "factors": {"dim": 4, "iterations": 3},
            "choices": {"min_valid_users": 5, "towers": {"longer": {"steps": 2.0}}},
            "prior": {"half_lives": [None, 1.0], "shrinkage": 5.0},
            **over,
        }
    )


def histories(
    *events: list[tuple[int, bool]], attributes: list[list[str]] | None = None
) -> Histories:
    """Histories of the given (item index, positive) events, a second apart."""
    lengths = [len(user) for user in events]
    flat = [event for user in events for event in user]
    return Histories(
        [f"h{number}" for number in range(len(events))],
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        np.array([item for item, _ in flat], dtype=np.int64),
        np.array([positive for _, positive in flat], dtype=bool),
        np.arange(len(flat), dtype=np.int64) * 1_000_000,
        attributes or [[] for _ in events],
    )


def ties(module: RecommenderModule) -> np.ndarray:
    """(N,) how far each item of equal features stands below the first."""
    cold = module.cold
    out = np.zeros(cold.n_items)
    out[cold.places[0].numpy() - 1] = cold.ties.numpy()
    return out
