"""Ragged batches of user histories: what every scorer reads, at training and at serving time."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt
import polars as pl
import scipy.sparse as sp

from counterpoint import columns

TIE_STEP_US = 2
"""Events of one user at one instant are spread by this many microseconds, in shuffled order."""

VISIBLE_AFTER_US = 1
"""An event becomes visible to features this long after it happened, so a point-in-time join at the
instant of a label (which keeps rows at or before it) can never see the label itself."""


@dataclass(frozen=True)
class Histories:
    """Histories of U users over a catalogue of N items, oldest event first.

    Attributes:
        user_ids: (U,) identifiers.
        indptr: (U + 1,) int64; user u owns the slice ``indptr[u]:indptr[u + 1]``.
        items: (E,) int64 zero-based catalogue indices.
        positive: (E,) bool.
        timestamps: (E,) int64 microseconds since the epoch.
        attributes: (U,) lists of ``name=value`` tokens of the user.
    """

    user_ids: Sequence[str]
    indptr: npt.NDArray[np.int64]
    items: npt.NDArray[np.int64]
    positive: npt.NDArray[np.bool_]
    timestamps: npt.NDArray[np.int64]
    attributes: Sequence[Sequence[str]] = field(default=())

    def __post_init__(self) -> None:
        if not self.attributes:
            object.__setattr__(self, "attributes", [[] for _ in self.user_ids])

    def __len__(self) -> int:
        return len(self.user_ids)

    @property
    def owners(self) -> npt.NDArray[np.int64]:
        """(E,) index of the user each event belongs to."""
        return np.repeat(np.arange(len(self)), np.diff(self.indptr))

    def ages(self) -> npt.NDArray[np.int64]:
        """(E,) number of positive events of the same user that are later than each event."""
        running = np.cumsum(self.positive)
        ends = np.concatenate([[0], running])[self.indptr[1:]]
        return np.asarray(ends[self.owners] - running, dtype=np.int64)

    def matrix(
        self, n_items: int, *, values: npt.NDArray[np.float32] | None = None, positive_only: bool
    ) -> sp.csr_matrix:
        """(U, N) matrix of ``values`` (default one) per event; of duplicates the newest counts."""
        keep = self.positive if positive_only else np.ones(len(self.items), dtype=bool)
        data = np.ones(len(self.items), dtype=np.float32) if values is None else values
        keys = (self.owners * n_items + self.items)[keep]
        unique, newest = np.unique(keys[::-1], return_index=True)
        return sp.csr_matrix(
            (data[keep][::-1][newest], (unique // n_items, unique % n_items)),
            shape=(len(self), n_items),
            dtype=np.float32,
        )

    def take(self, users: npt.NDArray[np.int64]) -> "Histories":
        """Return the sub-batch of these user indices, in their order."""
        lengths = np.diff(self.indptr)[users]
        indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        index = np.repeat(self.indptr[users] - indptr[:-1], lengths) + np.arange(indptr[-1])
        return Histories(
            [self.user_ids[u] for u in users],
            indptr,
            self.items[index],
            self.positive[index],
            self.timestamps[index],
            [self.attributes[u] for u in users],
        )


class Scorer(Protocol):
    """What evaluation, fusion and serving ask of any recommender, tower and baseline alike."""

    def score(self, histories: Histories) -> npt.NDArray[np.float32]:
        """Return (U, N) scores, higher is better. Seen items are excluded by the caller."""
        ...


def order_events(interactions: pl.DataFrame, *, seed: int) -> pl.DataFrame:
    """Give each user's events strictly increasing timestamps, sorted by (user, timestamp).

    Ties are shuffled with the seed (item ids correlate with popularity, so any order by id would
    leak) and spread by ``TIE_STEP_US``; an event pushed onto a later one moves that one on.

    Args:
        interactions: Canonical interactions.
        seed: Seed of the tie shuffle; the order depends on the row ids and this seed alone.
    """
    tie = pl.col(columns.ROW).hash(seed)
    spread = pl.int_range(pl.len(), dtype=pl.Int64) * TIE_STEP_US
    stamps = pl.col(columns.TIMESTAMP).dt.epoch("us")
    return (
        interactions.sort(columns.USER, columns.TIMESTAMP, tie, columns.ROW)
        .with_columns(
            ((stamps - spread).cum_max() + spread)
            .over(columns.USER)
            .cast(columns.INSTANT)
            .alias(columns.TIMESTAMP)
        )
        .sort(columns.USER, columns.TIMESTAMP)
    )


def from_events(
    events: pl.DataFrame,
    item_index: dict[str, int],
    *,
    user_ids: Sequence[str],
    attributes: dict[str, Sequence[str]] | None = None,
) -> Histories:
    """Build histories for the given users from ordered events; items outside the index are dropped.

    Args:
        events: Rows with user, item, timestamp (strictly increasing per user) and positive.
        item_index: item id -> catalogue index.
        user_ids: The users, in output order; a user without events gets an empty history.
        attributes: user id -> tokens.
    """
    users = pl.DataFrame({columns.USER: list(user_ids)}, schema={columns.USER: pl.String})
    catalogue = pl.DataFrame(
        {columns.ITEM: list(item_index), "_item": list(item_index.values())},
        schema={columns.ITEM: pl.String, "_item": pl.Int64},
    )
    joined = (
        events.join(users.with_row_index("_user"), on=columns.USER)
        .join(catalogue, on=columns.ITEM)
        .sort("_user", columns.TIMESTAMP)
    )
    lengths = np.bincount(joined["_user"].to_numpy(), minlength=len(users))
    known = attributes or {}
    return Histories(
        list(user_ids),
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        joined["_item"].to_numpy().astype(np.int64),
        joined[columns.POSITIVE].to_numpy().astype(bool),
        joined[columns.TIMESTAMP].dt.epoch("us").to_numpy().astype(np.int64),
        [list(known.get(user, ())) for user in user_ids],
    )
