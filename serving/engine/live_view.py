"""The live items at one moment as arrays, and their place among the items of the graph.

Immutable: a request works with one view from beginning to end. Runs inside Triton: standard library
and numpy.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from counterpoint.live_items import LiveItem, StoredItem
from serving.engine.item_table import ALWAYS_FROM, ALWAYS_UNTIL


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
        ids: (M,) ids of the new items, oldest first.
        titles: (M,) titles; the id where there is none.
        tokens: (M,) attribute tokens under the version's specification.
        features: (M, F) float32; a row of zeros: nothing is known.
        available_from: (M,) int64 microseconds since 1970; ``ALWAYS_FROM`` where open.
        available_until: (M,) int64; ``ALWAYS_UNTIL`` where open.
        hidden: (H,) int64 one-based indices of items of the graph that were removed.
        overrides: One-based index of an item of the graph -> what replaces the version's values.
    """

    ids: tuple[str, ...]
    titles: tuple[str, ...]
    tokens: tuple[tuple[str, ...], ...]
    features: npt.NDArray[np.float32]
    available_from: npt.NDArray[np.int64]
    available_until: npt.NDArray[np.int64]
    hidden: npt.NDArray[np.int64]
    overrides: Mapping[int, Override]

    def __len__(self) -> int:
        return len(self.ids)


def build(
    rows: Mapping[str, LiveRow],
    hidden: Collection[int],
    overrides: Mapping[int, Override],
    *,
    width: int,
) -> LiveView:
    """Return the view of these items.

    Args:
        rows: New items by id.
        hidden: One-based indices in the graph.
        overrides: By one-based index.
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
        hidden=np.array(sorted(hidden), dtype=np.int64),
        overrides=dict(overrides),
    )


def _moments(values: Sequence[int | None], default: int) -> npt.NDArray[np.int64]:
    return np.array([default if value is None else value for value in values], dtype=np.int64)
