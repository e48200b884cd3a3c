"""Takes the reference snapshot in memory: see reference.py for what it holds."""

import logging
from dataclasses import asdict
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from counterpoint import columns, tables
from counterpoint.bootstrap import mean_interval
from counterpoint.errors import DataError
from counterpoint.histories import Histories
from counterpoint.monitoring.degradation import Calibration
from counterpoint.monitoring.observations import (
    ITEM_FIRST,
    SAMPLE,
    USER_FIRST,
    pseudonyms,
    user_attributes,
)
from counterpoint.monitoring.quality import NDCG, TOP, Champion, realised
from counterpoint.monitoring.reference import FORMAT, N_EVENTS, VECTOR, Reference

logger = logging.getLogger(__name__)

PROBE_USERS = 50
MAX_VECTORS = 20_000
"""Text vectors are kept for this many most frequent items."""


def build(
    data: tables.Tables,
    champion: Champion | None,
    *,
    vectors: npt.NDArray[np.float32] | None = None,
    max_users: int = 20_000,
    k: int = 10,
    seed: int = 0,
) -> Reference:
    """Take the snapshot in memory.

    Args:
        data: What the champion was made from; interactions ordered, with ``fold`` for the quality.
        champion: The model; without one, nothing about scores and quality is stored.
        vectors: (N, D) text vectors of the champion's items.
        max_users: Users sampled for the observations.
        k: Length of the lists.
        seed: Of the sample.

    Raises:
        DataError: There are no interactions.
    """
    rows = data.interactions
    if rows.is_empty():
        raise DataError("There are no interactions to take a reference from. Ingest some first.")
    stamps = rows[columns.TIMESTAMP]
    start, end = stamps.min(), stamps.max()
    user_ids = rows[columns.USER].unique().sort()
    sampled = user_ids.sample(min(max_users, len(user_ids)), seed=seed).sort()
    events = (
        rows.with_columns(
            pl.col(columns.TIMESTAMP).min().over(columns.USER).alias(USER_FIRST),
            pl.col(columns.TIMESTAMP).min().over(columns.ITEM).alias(ITEM_FIRST),
        )
        .filter(pl.col(columns.USER).is_in(sampled.implode()))
        .with_columns(pl.col(columns.USER).replace_strict(sampled, pseudonyms(sampled)))
    )
    quality, probes, figures = _quality(data, champion, k=k, seed=seed)
    items = _items(data, champion, vectors)
    return Reference(
        {
            "format": FORMAT,
            "start": start.isoformat() if isinstance(start, datetime) else None,
            "end": end.isoformat() if isinstance(end, datetime) else None,
            "rows": {
                "events": len(rows),
                "users": len(user_ids),
                "items": rows[columns.ITEM].n_unique(),
                "sampled_users": len(sampled),
            },
            "positive_share": float(rows[columns.POSITIVE].cast(pl.Float64).to_numpy().mean()),
            "k": k,
            **figures,
        },
        tables.conform(events, SAMPLE, table="reference events"),
        user_attributes(data.users, sampled),
        items,
        pseudonyms(user_ids),
        quality,
        probes,
    )


def _items(
    data: tables.Tables, champion: Champion | None, vectors: npt.NDArray[np.float32] | None
) -> pl.DataFrame:
    counted = data.interactions.group_by(columns.ITEM).len(N_EVENTS)
    items = counted.join(
        data.items.select(columns.ITEM, columns.ATTRIBUTES).unique(columns.ITEM),
        on=columns.ITEM,
        how="left",
    ).sort(N_EVENTS, columns.ITEM, descending=[True, False])
    if champion is None or vectors is None:
        return items
    # A row of zeros is an item without text.
    known = np.flatnonzero(np.abs(vectors).sum(axis=1)).tolist()
    kept = pl.DataFrame(
        {
            columns.ITEM: [champion.item_ids[place] for place in known],
            VECTOR: vectors[known].astype(np.float32),
        },
        schema_overrides={columns.ITEM: pl.String},
    ).with_columns(pl.col(VECTOR).arr.to_list())
    with_vector = items.head(MAX_VECTORS).join(kept, on=columns.ITEM, how="left")
    return pl.concat([with_vector, items.slice(MAX_VECTORS)], how="diagonal")


def _quality(
    data: tables.Tables, champion: Champion | None, *, k: int, seed: int
) -> tuple[pl.DataFrame | None, pl.DataFrame | None, dict[str, Any]]:
    folded = columns.FOLD in data.interactions.columns
    if champion is None or not folded:
        return None, None, {"quality": None, "calibration": None}
    if not (data.interactions[columns.FOLD] == "test_target").any():
        logger.warning("No test fold: the reference holds no quality to compare windows with.")
        return None, None, {"quality": None, "calibration": None}
    attributes = dict(data.users.select(columns.USER, columns.ATTRIBUTES).iter_rows())
    table, histories = realised(
        champion,
        data.interactions,
        attributes={user: tokens or [] for user, tokens in attributes.items()},
        k=k,
        seed=seed,
    )
    interval = mean_interval(table[NDCG].to_numpy(), resamples=2000, confidence=0.95, seed=seed)
    calibration = Calibration.fit(table)
    figures = {
        "quality": asdict(interval),
        "calibration": None if calibration is None else asdict(calibration),
    }
    return table.drop(columns.USER), _probes(table, histories), figures


def _probes(table: pl.DataFrame, histories: Histories) -> pl.DataFrame:
    chosen = np.linspace(0, len(table) - 1, min(PROBE_USERS, len(table))).astype(np.int64)
    few = histories.take(chosen)
    cuts = list(zip(few.indptr[:-1], few.indptr[1:], strict=True))
    return pl.DataFrame(
        {
            columns.HISTORY: [few.items[a:b].tolist() for a, b in cuts],
            columns.HISTORY_POSITIVE: [few.positive[a:b].tolist() for a, b in cuts],
            columns.HISTORY_TIMESTAMPS: [few.timestamps[a:b].tolist() for a, b in cuts],
            columns.ATTRIBUTES: [list(tokens) for tokens in few.attributes],
            TOP: table[TOP].gather(chosen),
        },
        schema={
            columns.HISTORY: pl.List(pl.Int64),
            columns.HISTORY_POSITIVE: pl.List(pl.Boolean),
            columns.HISTORY_TIMESTAMPS: pl.List(pl.Int64),
            columns.ATTRIBUTES: pl.List(pl.String),
            TOP: pl.List(pl.Int64),
        },
    )
