"""Training examples as ragged index arrays, and mini-batches of them as tensors."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import polars as pl
import torch
from torch import Tensor

from counterpoint import columns
from counterpoint.histories import Histories


@dataclass(frozen=True)
class Batch:
    """B examples as flat tensors.

    Attributes:
        items: (E,) int64 history items, oldest first, example after example.
        owner: (E,) int64 example of each event.
        age: (E,) float32 number of the example's positive events later than the event.
        positive: (E,) bool.
        target_items: (T,) int64.
        target_owner: (T,) int64.
        size: B.
        users: (B,) int64 user index of each example, in the order of the fit's users.
    """

    items: Tensor
    owner: Tensor
    age: Tensor
    positive: Tensor
    target_items: Tensor
    target_owner: Tensor
    size: int
    users: Tensor

    def to(self, device: torch.device) -> "Batch":
        """Move all tensors."""
        return Batch(
            self.items.to(device),
            self.owner.to(device),
            self.age.to(device),
            self.positive.to(device),
            self.target_items.to(device),
            self.target_owner.to(device),
            self.size,
            self.users.to(device),
        )

    def without_targets(self) -> "Batch":
        """Return the histories alone."""
        return replace(self, target_items=self.target_items[:0], target_owner=self.target_owner[:0])


@dataclass(frozen=True)
class Examples:
    """X training examples of one fit.

    Attributes:
        users: (X,) int64 user index of each example; examples of one user are adjacent.
        indptr: (X + 1,) bounds of the histories in ``items``, ``age`` and ``positive``.
        target_indptr: (X + 1,) bounds of the targets in ``targets``.
    """

    users: npt.NDArray[np.int64]
    indptr: npt.NDArray[np.int64]
    items: npt.NDArray[np.int64]
    age: npt.NDArray[np.float32]
    positive: npt.NDArray[np.bool_]
    target_indptr: npt.NDArray[np.int64]
    targets: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.users)

    def epoch(self, number: int, seed: int, batch_size: int) -> list[npt.NDArray[np.int64]]:
        """Return batches of example indices: one example per user, another one each epoch.

        Depends on (number, seed) alone, so a resumed run sees the same batches.
        """
        first, count = self._by_user
        start = np.random.default_rng(seed).integers(0, 1 << 30, len(first))
        chosen = first + (start + number) % count
        order = np.random.default_rng([seed, number]).permutation(chosen)
        return [order[begin : begin + batch_size] for begin in range(0, len(order), batch_size)]

    @cached_property
    def _by_user(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        _, first, count = np.unique(self.users, return_index=True, return_counts=True)
        return first, count

    @property
    def n_users(self) -> int:
        """Number of users with at least one example."""
        return len(self._by_user[0])

    def batch(self, index: npt.NDArray[np.int64]) -> Batch:
        """Gather examples; targets that are already in the history are dropped."""
        cells, owner = _slices(self.indptr, index)
        target_cells, target_owner = _slices(self.target_indptr, index)
        n_items = int(max(self.items.max(initial=0), self.targets.max(initial=0))) + 1
        fresh = ~np.isin(
            target_owner * n_items + self.targets[target_cells],
            owner * n_items + self.items[cells],
        )
        return Batch(
            torch.from_numpy(self.items[cells]),
            torch.from_numpy(owner),
            torch.from_numpy(self.age[cells]),
            torch.from_numpy(self.positive[cells]),
            torch.from_numpy(self.targets[target_cells][fresh]),
            torch.from_numpy(target_owner[fresh]),
            len(index),
            torch.from_numpy(self.users[index]),
        )


def history_batch(histories: Histories, users: npt.NDArray[np.int64], length: int) -> Batch:
    """Return the whole histories of some users, without targets.

    Args:
        histories: Of all users.
        users: (B,) which of them.
        length: Newest events of a history that are kept.
    """
    lengths = np.diff(histories.indptr)[users]
    kept = np.minimum(lengths, length)
    ends = np.cumsum(kept)
    owner = np.repeat(np.arange(len(users)), kept)
    cells = (histories.indptr[users + 1] - ends)[owner] + np.arange(ends[-1] if len(ends) else 0)
    positive = histories.positive[cells]
    running = np.cumsum(positive)
    last = np.concatenate([[0], running])[ends]
    none = torch.zeros(0, dtype=torch.int64)
    return Batch(
        torch.from_numpy(histories.items[cells]),
        torch.from_numpy(owner),
        torch.from_numpy((last[owner] - running).astype(np.float32)),
        torch.from_numpy(positive),
        none,
        none,
        len(users),
        torch.from_numpy(users.astype(np.int64)),
    )


def read_examples(
    examples: pl.DataFrame,
    item_index: dict[str, int],
    *,
    length: int,
    user_ids: Sequence[str] | None = None,
) -> Examples:
    """Turn a frame of columns.EXAMPLES into arrays; items outside the index are dropped.

    Args:
        examples: Examples of one fit.
        item_index: item id -> catalogue index.
        length: Newest events of a history that are kept.
        user_ids: The fit's users in the order of their index, sorted; by default those who occur.
    """
    known = (
        examples[columns.USER].unique().sort()
        if user_ids is None
        else pl.Series(user_ids, dtype=pl.String)
    )
    catalogue = pl.Enum(pl.Series(list(item_index), dtype=pl.String).unique(maintain_order=True))
    frame = examples.sort(columns.USER, columns.EXAMPLE).with_columns(
        pl.col(columns.HISTORY).list.tail(length),
        pl.col(columns.HISTORY_POSITIVE).list.tail(length),
    )
    history, owner = _explode(frame[columns.HISTORY], catalogue)
    target, target_owner = _explode(frame[columns.TARGETS], catalogue)
    positive = frame[columns.HISTORY_POSITIVE].explode(empty_as_null=False).to_numpy().astype(bool)
    positive, owner, history = (part[history >= 0] for part in (positive, owner, history))
    target, target_owner = target[target >= 0], target_owner[target >= 0]
    indptr = _bounds(owner, len(frame))
    running = np.cumsum(positive)
    ends = np.concatenate([[0], running])[indptr[1:]]
    return Examples(
        known.search_sorted(frame[columns.USER]).to_numpy().astype(np.int64),
        indptr,
        history,
        (ends[owner] - running).astype(np.float32),
        positive,
        _bounds(target_owner, len(frame)),
        target,
    )


def _explode(lists: pl.Series, catalogue: pl.Enum) -> tuple[npt.NDArray, npt.NDArray]:
    """Flat catalogue indices (-1: unknown) and the row of each."""
    flat = lists.explode(empty_as_null=False).cast(catalogue, strict=False)
    index = flat.to_physical().cast(pl.Int64).fill_null(-1).to_numpy()
    return index, np.repeat(np.arange(len(lists)), lists.list.len().fill_null(0).to_numpy())


def _bounds(owner: npt.NDArray, rows: int) -> npt.NDArray[np.int64]:
    lengths = np.bincount(owner, minlength=rows)
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def _slices(
    indptr: npt.NDArray[np.int64], index: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Cells of the given rows, and the place of each row in ``index``."""
    lengths = indptr[index + 1] - indptr[index]
    ends = np.cumsum(lengths)
    cells = np.repeat(indptr[index] - (ends - lengths), lengths) + np.arange(lengths.sum())
    return cells, np.repeat(np.arange(len(index)), lengths)
