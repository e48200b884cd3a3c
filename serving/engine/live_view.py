"""The live items at one moment as arrays, and their place among the items of the graph.

Immutable: a request works with one view from beginning to end. Runs inside Triton: standard library
and numpy.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from counterpoint.live_items import LiveItem
from counterpoint.live_store import StoredItem

ALWAYS_FROM = int(np.iinfo(np.int64).min)
ALWAYS_UNTIL = int(np.iinfo(np.int64).max)
"""Bounds of an item that is always available, in microseconds since 1970."""

_WIDE = 256
"""More live items than this are cut to the best k of a row before they are sorted."""


@dataclass(frozen=True)
class Override:
    """What the store says of an item that the version knows; None leaves the version's value."""

    title: str | None
    tokens: tuple[str, ...] | None
    available_from: int | None
    available_until: int | None

    @classmethod
    def of(cls, item: LiveItem, tokens: Sequence[str]) -> "Override":
        """Take the fields that are given."""
        return cls(item.title, tuple(tokens) or None, item.available_from, item.available_until)


@dataclass(frozen=True)
class LiveRow:
    """One new item: its row, its tokens under the version's specification, its (F,) features."""

    stored: StoredItem
    tokens: Sequence[str]
    features: npt.NDArray[np.float32]


@dataclass(frozen=True)
class LiveView:
    """What the store adds to a version of N items.

    Attributes:
        ids: (M,) ids of the new items, oldest first; item m has the one-based index N + 1 + m.
        titles: (M,) titles; the id where there is none.
        tokens: (M,) attribute tokens under the version's specification.
        features: (M, F) float32; a row of zeros: nothing is known.
        available_from: (M,) int64 microseconds since 1970; ``ALWAYS_FROM`` where open.
        available_until: (M,) int64; ``ALWAYS_UNTIL`` where open.
        place: Id -> one-based index of the new items.
        hidden: (H,) int64 one-based indices of items of the graph that were removed: to be put into
            ``exclude``.
        removed: Ids of all removed items: still known, never shown.
        overrides: One-based index of an item of the graph -> what replaces the version's values.
    """

    ids: tuple[str, ...]
    titles: tuple[str, ...]
    tokens: tuple[tuple[str, ...], ...]
    features: npt.NDArray[np.float32]
    available_from: npt.NDArray[np.int64]
    available_until: npt.NDArray[np.int64]
    place: Mapping[str, int]
    hidden: npt.NDArray[np.int64]
    removed: frozenset[str]
    overrides: Mapping[int, Override]

    def __len__(self) -> int:
        return len(self.ids)

    def available(self, moment: int) -> npt.NDArray[np.bool_]:
        """Return (M,) which new items may be shown at a moment (microseconds since 1970)."""
        return (self.available_from <= moment) & (moment < self.available_until)

    def scores(self, taste: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return (B, M) scores of the new items, on the scale of the graph's.

        Args:
            taste: (B, F + 2) of the graph: weights of the features, constant, and the score of an
                item of which nothing is known.
        """
        width = self.features.shape[1]
        known = taste[:, :width] @ self.features.T + taste[:, width : width + 1]
        described = self.features.any(1)
        return np.where(described, known, taste[:, width + 1 :]).astype(np.float32)


def build(
    rows: Mapping[str, LiveRow],
    hidden: Mapping[str, int],
    overrides: Mapping[int, Override],
    *,
    n_graph: int,
    width: int,
) -> LiveView:
    """Return the view of these items.

    Args:
        rows: New items by id.
        hidden: Removed id -> one-based index in the graph, 0 if it is not there.
        overrides: By one-based index.
        n_graph: N.
        width: F.
    """
    order = sorted(rows, key=lambda item: (rows[item].stored.added_at, item))
    items = [rows[item].stored.item for item in order]
    features = np.zeros((len(order), width), dtype=np.float32)
    for row, item in enumerate(order):
        features[row] = rows[item].features
    return LiveView(
        ids=tuple(order),
        titles=tuple(item.title or item.item_id for item in items),
        tokens=tuple(tuple(rows[item].tokens) for item in order),
        features=features,
        available_from=_moments([item.available_from for item in items], ALWAYS_FROM),
        available_until=_moments([item.available_until for item in items], ALWAYS_UNTIL),
        place={item: n_graph + 1 + row for row, item in enumerate(order)},
        hidden=np.array(sorted(place for place in hidden.values() if place), dtype=np.int64),
        removed=frozenset(hidden),
        overrides=dict(overrides),
    )


def merge(
    item: npt.NDArray[np.int64],
    score: npt.NDArray[np.float32],
    reason: npt.NDArray[np.int64],
    live: npt.NDArray[np.float32],
    allowed: npt.NDArray[np.bool_],
    *,
    n_graph: int,
    k: int,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Merge the graph's best items with the new ones into the best k of each row.

    At equal scores the graph's items come first, then the older ones. New items have no reasons, as
    cold items of the graph have none.

    Args:
        item: (B, K) one-based, best first, 0 = no item left.
        score: (B, K), descending.
        reason: (B, K, R) one-based positions in the history, 0 = none.
        live: (B, M) scores of the new items.
        allowed: (B, M) which of them a row may get.
        n_graph: N; new item m becomes N + 1 + m.
        k: Longest list.

    Returns:
        Items, scores (0 where there is no item) and reasons of min(k, K + M) columns.
    """
    rows, count = live.shape
    if not count:
        return item[:, :k], score[:, :k], reason[:, :k]
    live = np.where(allowed, live, -np.inf).astype(np.float32)
    places = np.broadcast_to(np.arange(count), live.shape)
    if count > max(_WIDE, k):
        places = np.stack([_first(row, k) for row in live])
        live = np.take_along_axis(live, places, 1)
    new = np.where(live > -np.inf, n_graph + 1 + places, 0)
    items = np.concatenate([item, new], axis=1)
    scores = np.concatenate([np.where(item > 0, score, -np.inf), live], axis=1)
    reasons = np.concatenate(
        [reason, np.zeros((rows, new.shape[1], reason.shape[2]), dtype=reason.dtype)], axis=1
    )
    best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    chosen = np.take_along_axis(items, best, 1)
    top = np.take_along_axis(scores, best, 1)
    return (
        chosen,
        np.where(chosen > 0, top, 0).astype(np.float32),
        np.take_along_axis(reasons, best[:, :, None], 1),
    )


def _first(scores: npt.NDArray[np.float32], k: int) -> npt.NDArray[np.int64]:
    """Return the places of the k best, the earlier of equal ones, in order of place."""
    bound = np.partition(scores, len(scores) - k)[len(scores) - k]
    above = np.flatnonzero(scores > bound)
    equal = np.flatnonzero(scores == bound)[: k - len(above)]
    return np.sort(np.concatenate([above, equal]))


def _moments(values: Sequence[int | None], default: int) -> npt.NDArray[np.int64]:
    return np.array([default if value is None else value for value in values], dtype=np.int64)
