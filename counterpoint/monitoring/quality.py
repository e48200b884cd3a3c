"""How good the champion really is on a window: fold-in of the first half of each user's events."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from counterpoint import columns
from counterpoint.histories import Histories, order_events
from counterpoint.metrics import ndcg
from counterpoint.metrics._ranking import EMPTY, Ranking
from counterpoint.splits import TRAIN, fold_histories
from counterpoint.topk import rank, score_chunks, tie_priority, top_k

N_TARGETS = "n_targets"
N_HISTORY = "n_history"
NDCG = "ndcg"
MEAN_SCORE = "mean_score"
TOP = "top"
TOP_SCORES = "top_scores"
HITS = "hits"
PROBE_EVENTS = (columns.HISTORY, columns.HISTORY_POSITIVE, columns.HISTORY_TIMESTAMPS)


class Champion(Protocol):
    """What monitoring asks of the model in service."""

    @property
    def item_ids(self) -> Sequence[str]:
        """Catalogue in index order."""
        ...

    def score(self, histories: Histories) -> npt.NDArray[np.float32]:
        """Return (U, N) scores."""
        ...


def fold_window(interactions: pl.DataFrame, start: datetime, *, seed: int) -> pl.DataFrame:
    """Add ``fold``: events up to ``start`` are the past; then each user's first half is history.

    Args:
        interactions: Canonical interactions up to the end of the window.
        start: The window holds the later events.
        seed: Of the shuffle of equal timestamps.
    """
    inside = pl.col(columns.TIMESTAMP) > start
    users = interactions.filter(inside)[columns.USER].unique()
    rows = interactions.filter(pl.col(columns.USER).is_in(users.implode()))
    ordered = order_events(rows.with_columns(inside.alias("_inside")), seed=seed)
    groups = [columns.USER, "_inside"]
    first = pl.int_range(pl.len()).over(groups) < pl.len().over(groups) // 2
    return ordered.with_columns(
        pl.when(~pl.col("_inside"))
        .then(pl.lit(TRAIN))
        .when(first)
        .then(pl.lit("test_history"))
        .otherwise(pl.lit("test_target"))
        .alias(columns.FOLD)
    ).drop("_inside")


def realised(
    champion: Champion,
    interactions: pl.DataFrame,
    *,
    attributes: Mapping[str, Sequence[str]],
    k: int,
    seed: int,
) -> tuple[pl.DataFrame, Histories]:
    """Recommend to the users of the ``test`` folds and look up what they then liked.

    Args:
        champion: The model.
        interactions: Ordered interactions with ``fold``.
        attributes: user id -> tokens.
        k: Length of the lists.
        seed: Breaks ties of scores.

    Returns:
        One row per user (number of targets and of history events, NDCG@k, mean score of the list,
        the list as item indices best first, its scores, its hits), and the histories behind it.

    Raises:
        DataError: No user has an unseen positive target.
    """
    index = {item: place for place, item in enumerate(champion.item_ids)}
    histories, targets = fold_histories(
        interactions, "test", index, attributes={u: list(t) for u, t in attributes.items()}
    )
    n_items = len(index)
    priority = tie_priority(n_items, seed=seed)
    tops, values = [], []
    for _, _, scores in score_chunks(champion, histories, n_items=n_items):
        top = top_k(scores, k=k, priority=priority)
        tops.append(top)
        values.append(np.take_along_axis(scores, np.maximum(top, 0), axis=1))
    top = np.concatenate(tops)
    score = np.where(top == EMPTY, np.nan, np.concatenate(values)).astype(np.float64)
    ranking = Ranking(top, targets, np.zeros(n_items, dtype=np.int64), 0, targets[:0])
    table = pl.DataFrame(
        {
            columns.USER: list(histories.user_ids),
            N_TARGETS: ranking.n_targets,
            N_HISTORY: np.diff(histories.indptr),
            NDCG: ndcg.per_user(ranking),
            MEAN_SCORE: np.nanmean(score, axis=1),
            TOP: top,
            TOP_SCORES: score,
            HITS: ranking.hits,
        },
        schema_overrides={TOP: pl.List(pl.Int64), TOP_SCORES: pl.List(pl.Float64)},
    )
    return table.with_columns(pl.col(HITS).arr.to_list()), histories


def probe_agreement(champion: Champion, probes: pl.DataFrame, *, k: int) -> float:
    """Mean share of the lists stored in a reference that the champion gives again.

    Args:
        champion: The model at hand.
        probes: Histories and lists (``reference.PROBES``).
        k: Length of the lists.
    """
    stored = probes[TOP].to_list()
    n_items = len(champion.item_ids)
    if max((max(found) for found in stored), default=0) >= n_items:
        return 0.0
    events = [probes[name].explode().drop_nulls().to_numpy() for name in PROBE_EVENTS]
    histories = Histories(
        [str(row) for row in range(len(probes))],
        np.concatenate([[0], np.cumsum(probes[columns.HISTORY].list.len())]).astype(np.int64),
        events[0].astype(np.int64),
        events[1].astype(bool),
        events[2].astype(np.int64),
        [list(tokens or ()) for tokens in probes[columns.ATTRIBUTES].to_list()],
    )
    again = rank(champion, histories, n_items=n_items, k=k, seed=0)
    shared = [
        len(set(map(int, old)) & set(map(int, new))) / max(1, len(old))
        for old, new in zip(stored, again, strict=True)
    ]
    return float(np.mean(shared)) if shared else 1.0
