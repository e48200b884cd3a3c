"""Leak-free splits of ordered interactions into folds, and what each fold means for fit and test.

Folds: ``train``, ``valid_history``, ``valid_target``, ``test_history``, ``test_target``. An event
is history of an evaluation only if it is earlier than every target of the same user.

* ``global_temporal``: one time window for validation, one for test, over all users. Nothing in the
  window is used to fit. A user's first half of own events in the window is folded in as history,
  the second half holds the targets, so users unseen in training are judged too.
* ``per_user``: each user's own last events. High power, but other users' futures are seen.
* ``leave_last_out``: the last positive is the test target, the one before the validation target.
* ``cold_items`` and ``warm_and_cold`` withhold items from the fit, see withheld_items.py.
"""

from collections.abc import Sequence
from typing import Final, Literal

import numpy as np
import polars as pl
import scipy.sparse as sp

from counterpoint import columns, withheld_items
from counterpoint.config.features import SplitConfig
from counterpoint.errors import DataError
from counterpoint.histories import TIE_STEP_US, Histories, from_events

Fold = Literal["valid", "test"]
Fit = Literal["choose", "final"]

TRAIN: Final = "train"
FITS: Final[dict[Fit, tuple[str, ...]]] = {
    "choose": (TRAIN,),
    "final": (TRAIN, "valid_history", "valid_target"),
}
"""Folds whose events may be used to fit: hyper-parameters are chosen on the first, then refit."""

HISTORY_FOLDS: Final[dict[Fold, tuple[str, ...]]] = {
    "valid": (*FITS["choose"], "valid_history"),
    "test": (*FITS["final"], "test_history"),
}


def has_time(interactions: pl.DataFrame) -> bool:
    """Whether the timestamps of ordered interactions carry more than the spread of their ties."""
    if interactions.is_empty():
        return False
    stamps = interactions[columns.TIMESTAMP].dt.epoch("us").to_numpy()
    longest = int(interactions.group_by(columns.USER).len()["len"].to_numpy().max())
    return bool(stamps.max() - stamps.min() > TIE_STEP_US * longest)


def assign(interactions: pl.DataFrame, split: SplitConfig) -> pl.DataFrame:
    """Add the column ``fold`` to interactions ordered by ``histories.order_events``.

    Args:
        interactions: Canonical interactions, timestamps strictly increasing per user.
        split: Protocol and sizes; ``test_fraction = 0`` makes no test folds.

    Returns:
        The same rows in the same order with ``fold``, and with ``held_out`` where the protocol
        withholds items.

    Raises:
        DataError: A fold would be empty, or the protocol needs timestamps that the data lack.
    """
    if interactions.is_empty():
        raise DataError(
            "There are no interactions to split. At least one user with two positive interactions "
            "is needed. Check the data set and what validation put into quarantine."
        )
    if split.protocol in withheld_items.PROTOCOLS:
        folded = withheld_items.assign(
            interactions, split, lambda events, split: _BY_TIME[split.within](events, split)
        )
    else:
        folded = _BY_TIME[split.protocol](interactions, split)
    _check(folded, split)
    return folded


def fit_events(interactions: pl.DataFrame, fit: Fit) -> pl.DataFrame:
    """Return the events a fit may learn from: ``choose`` ends before validation, ``final`` test."""
    return interactions.filter(pl.col(columns.FOLD).is_in(FITS[fit]))


def fold_histories(
    interactions: pl.DataFrame,
    fold: Fold,
    item_index: dict[str, int],
    *,
    attributes: dict[str, Sequence[str]] | None = None,
) -> tuple[Histories, sp.csr_matrix]:
    """Return what the users of a fold had done before it, and what they then liked.

    Args:
        interactions: Ordered interactions with ``fold``.
        fold: Which evaluation.
        item_index: item id -> catalogue index; events on other items are dropped.
        attributes: user id -> ``name=value`` tokens.

    Returns:
        Histories of the U users with at least one target, sorted by id, and the (U, N) boolean
        matrix of targets: positives of the target fold whose item is not in the history.

    Raises:
        DataError: No user of the fold has a target.
    """
    known = pl.col(columns.ITEM).is_in(list(item_index))
    history = interactions.filter(pl.col(columns.FOLD).is_in(HISTORY_FOLDS[fold]) & known)
    targets = (
        interactions.filter(
            (pl.col(columns.FOLD) == f"{fold}_target") & pl.col(columns.POSITIVE) & known
        )
        .select(columns.USER, columns.ITEM)
        .unique()
        .join(history, on=[columns.USER, columns.ITEM], how="anti")
        .sort(columns.USER, columns.ITEM)
    )
    if targets.is_empty():
        raise DataError(
            f"No user has an unseen positive item in the {fold} fold ({len(interactions)} "
            "interactions). Repeated interactions with a seen item are no targets. Use more data, "
            "a larger fraction, or features.split.protocol=leave_last_out."
        )
    users = targets[columns.USER].unique().sort()
    rows = users.search_sorted(targets[columns.USER]).to_numpy()
    cols = np.array([item_index[item] for item in targets[columns.ITEM]], dtype=np.int64)
    matrix = sp.csr_matrix(
        (np.ones(len(rows), dtype=bool), (rows, cols)), shape=(len(users), len(item_index))
    )
    return from_events(history, item_index, user_ids=users.to_list(), attributes=attributes), matrix


def _global_temporal(interactions: pl.DataFrame, split: SplitConfig) -> pl.DataFrame:
    if not has_time(interactions):
        raise DataError(
            f"All {len(interactions)} interactions have the same timestamp, so the protocol "
            "global_temporal cannot tell past from future. Map a timestamp column, or set "
            "features.split.protocol=per_user (folds are then random per user)."
        )
    stamps = pl.col(columns.TIMESTAMP)
    in_time = interactions[columns.TIMESTAMP].sort()
    n_test, n_valid = _sizes(len(interactions), split)
    # Windows are cut at instants, not at rows: events of one instant fall on one side.
    valid_from = in_time[max(0, len(in_time) - n_test - n_valid)]
    window = pl.when(stamps >= valid_from).then(pl.lit("valid")).otherwise(pl.lit(TRAIN))
    if n_test:
        test_from = in_time[len(in_time) - n_test]
        window = pl.when(stamps >= test_from).then(pl.lit("test")).otherwise(window)
    groups = [columns.USER, "_window"]
    earlier = pl.int_range(pl.len()).over(groups)
    half = pl.when(earlier < pl.len().over(groups) // 2).then(pl.lit("_history"))
    return (
        interactions.with_columns(window.alias("_window"))
        .with_columns(
            pl.when(pl.col("_window") == TRAIN)
            .then(pl.lit(TRAIN))
            .otherwise(pl.col("_window") + half.otherwise(pl.lit("_target")))
            .alias(columns.FOLD)
        )
        .drop("_window")
    )


def _per_user(interactions: pl.DataFrame, split: SplitConfig) -> pl.DataFrame:
    total = pl.len().over(columns.USER)
    later = total - 1 - pl.int_range(pl.len()).over(columns.USER)

    def size(fraction: float) -> pl.Expr:
        # Short sequences give one event to each fold, as long as one is left to learn from.
        least = pl.when(total >= 3).then(1).otherwise(0) if fraction else pl.lit(0)
        rounded = (total * fraction).round().cast(pl.Int64)
        return pl.max_horizontal(rounded, least)

    return _last(interactions, later, size(split.test_fraction), size(split.valid_fraction))


def _leave_last_out(interactions: pl.DataFrame, split: SplitConfig) -> pl.DataFrame:
    # An event that is not positive goes with the positive before it, so none is later than a target
    # that it is history of.
    likes = pl.col(columns.POSITIVE).cast(pl.Int64)
    later = likes.sum().over(columns.USER) - likes.cum_sum().over(columns.USER)
    return _last(interactions, later, pl.lit(int(split.test_fraction > 0)), pl.lit(1))


def _last(
    interactions: pl.DataFrame, later: pl.Expr, n_test: pl.Expr, n_valid: pl.Expr
) -> pl.DataFrame:
    """Cut each user's sequence by how much is still to come."""
    return interactions.with_columns(
        pl.when(later < n_test)
        .then(pl.lit("test_target"))
        .when(later < n_test + n_valid)
        .then(pl.lit("valid_target"))
        .otherwise(pl.lit(TRAIN))
        .alias(columns.FOLD)
    )


_BY_TIME = {
    "global_temporal": _global_temporal,
    "per_user": _per_user,
    "leave_last_out": _leave_last_out,
}


def _sizes(total: int, split: SplitConfig) -> tuple[int, int]:
    """Number of events in the test and in the validation window."""
    n_test = max(1, round(total * split.test_fraction)) if split.test_fraction else 0
    return n_test, max(1, round(total * split.valid_fraction))


def _check(folded: pl.DataFrame, split: SplitConfig) -> None:
    likes = folded.filter(columns.POSITIVE).group_by(columns.FOLD).len()
    count = dict(zip(likes[columns.FOLD], likes["len"], strict=True))
    needed = [TRAIN, "valid_target", *(["test_target"] if split.test_fraction else [])]
    empty = [fold for fold in needed if not count.get(fold)]
    if empty:
        raise DataError(
            f"The {split.protocol} split leaves no positive interaction in: {', '.join(empty)} "
            f"({len(folded)} interactions, {sum(count.values())} of them positive, "
            f"{folded[columns.USER].n_unique()} users). Use more data, another "
            "features.split.protocol (leave_last_out needs the fewest events), a larger "
            "features.split.valid_fraction or test_fraction, or another rule for positives."
        )
