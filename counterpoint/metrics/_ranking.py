"""What every metric reads: top-k lists of users, their targets, and facts about the catalogue."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import polars as pl
import scipy.sparse as sp

from counterpoint import columns
from counterpoint.errors import DataError

EMPTY = -1
"""Item index of an unfilled place of a top-k list."""


@dataclass(frozen=True)
class Ranking:
    """Top-k lists of U users over N items.

    Attributes:
        top: (U, k) int64 item indices, best first; ``EMPTY`` where nothing was left to recommend.
        targets: (U, N) boolean CSR matrix of relevant items, at least one per user.
        popularity: (N,) number of positive training interactions of each item.
        n_train_users: Users with positive training interactions.
        attributes: (N, A) boolean CSR matrix of item attribute tokens; A may be 0.
    """

    top: npt.NDArray[np.int64]
    targets: sp.csr_matrix
    popularity: npt.NDArray[np.int64]
    n_train_users: int
    attributes: sp.csr_matrix

    @property
    def k(self) -> int:
        """Length of the lists."""
        return int(self.top.shape[1])

    @property
    def n_targets(self) -> npt.NDArray[np.int64]:
        """(U,) number of relevant items."""
        return np.diff(self.targets.indptr).astype(np.int64)

    @property
    def filled(self) -> npt.NDArray[np.bool_]:
        """(U, k) places that hold an item."""
        return self.top != EMPTY

    @property
    def hits(self) -> npt.NDArray[np.bool_]:
        """(U, k) places that hold a relevant item."""
        users = np.broadcast_to(np.arange(len(self.top))[:, None], self.top.shape)
        found = self.targets[users.ravel(), np.maximum(self.top, 0).ravel()]
        return np.asarray(found).reshape(self.top.shape).astype(bool) & self.filled

    def at(self, k: int) -> "Ranking":
        """Return the same lists cut to their first ``k`` places."""
        return replace(self, top=self.top[:, :k])


def top_matrix(
    recommendations: pl.DataFrame, *, user_ids: list[str], item_index: dict[str, int], k: int
) -> npt.NDArray[np.int64]:
    """Turn a table of recommendations (columns.RECOMMENDATIONS) into a (U, k) matrix of indices.

    Users without rows get an empty list; rows of other users and ranks beyond ``k`` are left out.

    Raises:
        DataError: A recommended item is not in the catalogue, or a user has one rank twice.
    """
    rows = recommendations.filter(
        pl.col(columns.USER).is_in(user_ids) & pl.col(columns.RANK).is_between(1, k)
    )
    unknown = rows.filter(~pl.col(columns.ITEM).is_in(list(item_index)))[columns.ITEM]
    if len(unknown):
        raise DataError(
            f"{unknown.n_unique()} recommended items are not in the catalogue of {len(item_index)} "
            f"items, for example {unknown[0]!r}. Evaluate against the catalogue they came from."
        )
    if rows.select(columns.USER, columns.RANK).is_duplicated().any():
        raise DataError(
            "A user has two recommendations of one rank. Ranks must be 1, 2, … per user."
        )
    places = {user: row for row, user in enumerate(user_ids)}
    top = np.full((len(user_ids), k), EMPTY, dtype=np.int64)
    users = [places[user] for user in rows[columns.USER]]
    top[users, rows[columns.RANK].to_numpy() - 1] = [item_index[i] for i in rows[columns.ITEM]]
    return top
