"""What is known of an item at a moment: how popular, how liked and how highly rated it was then."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from counterpoint import columns
from counterpoint.histories import Histories

SHRINKAGE = 5.0
"""Events at the overall mean that are added to those of an item."""

NAMES = ("popularity", "liked", "rated")


@dataclass(frozen=True)
class Units:
    """Means and spread that the statistics are told in; constants, so that no event sees more.

    Attributes:
        liked: Share of positive events.
        mean: Mean of the values; 0 without values.
        spread: Standard deviation of the values; 1 without values.
        low: Least value.
        high: Greatest value.
    """

    liked: float
    mean: float
    spread: float
    low: float
    high: float

    @classmethod
    def of(cls, events: pl.DataFrame) -> "Units":
        """Measure them."""
        values = events[columns.VALUE].drop_nulls().drop_nans().to_numpy()
        liked = float(events[columns.POSITIVE].mean() or 0.0)  # type: ignore[arg-type]
        if not len(values):
            return cls(liked, 0.0, 1.0, 0.0, 0.0)
        spread = float(values.std())
        return cls(
            liked, float(values.mean()), spread or 1.0, float(values.min()), float(values.max())
        )


class ItemStatistics:
    """Counts over events, at any moment.

    Args:
        events: What may be counted.
        index: item id -> catalogue index of N items; events on other items are left out.
        units: Of the statistics.
    """

    def __init__(self, events: pl.DataFrame, index: dict[str, int], units: Units) -> None:
        known = events.filter(pl.col(columns.ITEM).is_in(list(index)))
        items = np.array([index[item] for item in known[columns.ITEM]], dtype=np.int64)
        times = known[columns.TIMESTAMP].dt.epoch("us").to_numpy()
        positive = known[columns.POSITIVE].to_numpy().astype(np.float64)
        value = known[columns.VALUE].fill_nan(None).cast(pl.Float64).to_numpy()
        self.units = units
        self._size = len(index)
        self._moments = np.unique(times)
        self._span = len(self._moments) + 1
        key = items * self._span + np.searchsorted(self._moments, times)
        order = np.argsort(key, kind="stable")
        self._key = key[order]
        rated = np.isfinite(value[order])
        self._positive = _running(positive[order])
        self._rated = _running(rated)
        self._value = _running(np.where(rated, value[order] - units.mean, 0.0))
        self._times = np.sort(times)
        self._all = _running(positive[np.argsort(times, kind="stable")])

    def positives(self) -> npt.NDArray[np.float64]:
        """Return (N,) positive events of each item, whenever they were."""
        starts = np.searchsorted(self._key, np.arange(self._size + 1) * self._span)
        return np.diff(self._positive[starts])

    def at(
        self, items: npt.NDArray[np.int64], times: npt.NDArray[np.int64] | None
    ) -> npt.NDArray[np.float32]:
        """Return (..., 3) statistics, see ``NAMES``; each 0 on average.

        ``popularity`` is the logarithm of the item's share of the positives, in mean shares;
        ``liked`` and ``rated`` are how far its share of positives and its mean value lie from the
        overall ones, shrunk.

        Args:
            items: (...) catalogue indices.
            times: (...) microseconds; only earlier events count. None: all events.
        """
        moment: npt.NDArray[np.int64]
        if times is None:
            moment = np.full(items.shape, self._span - 1)
            total = np.full(items.shape, self._all[-1])
        else:
            moment = np.searchsorted(self._moments, times, side="left")
            total = self._all[np.searchsorted(self._times, times, side="left")]
        end = np.searchsorted(self._key, items * self._span + moment, side="left")
        start = np.searchsorted(self._key, items * self._span, side="left")
        positive = self._positive[end] - self._positive[start]
        rated = self._rated[end] - self._rated[start]
        value = self._value[end] - self._value[start]
        events = end - start
        popularity = np.log((positive + 1) * self._size / (total + self._size))
        liked = (positive - events * self.units.liked) / (events + SHRINKAGE)
        mean = value / (rated + SHRINKAGE) / self.units.spread
        return np.stack([popularity, liked, mean], axis=-1).astype(np.float32)

    def leniency(
        self, histories: Histories, times: npt.NDArray[np.int64] | None
    ) -> npt.NDArray[np.float32]:
        """Return (G,) how much more often than others of the same items these users like, shrunk.

        Args:
            histories: G histories.
            times: (G,) microseconds; of the items only earlier events count. None: all events.
        """
        owners = histories.owners
        when = None if times is None else times[owners]
        usual = self.units.liked + self.at(histories.items, when)[:, NAMES.index("liked")]
        surplus = np.bincount(owners, histories.positive - usual, len(histories))
        events = np.diff(histories.indptr)
        return np.asarray(surplus / (events + SHRINKAGE), dtype=np.float32)


def _running(values: npt.NDArray[np.generic]) -> npt.NDArray[np.float64]:
    """Return the sums before each place, and the whole one."""
    return np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
