"""The units of the tests, users in slices of time, and how they are redrawn.

Events of one user hang together (one session, one taste), so a test that counts them as independent
calls every pair of windows different. Here the unit is one user in one slice of time, and the null
distribution comes from redrawing which of a user's own slices is the window: a randomisation test
that keeps every user's events together and every returning user's tastes on both sides.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.bool_]

CELLS = 4_000_000
"""Labels drawn at once; bounds memory at about 64 MB."""


@dataclass(frozen=True)
class Units:
    """n units: users in slices of time.

    Attributes:
        users: (n,) int64 code of the user.
        slices: (n,) int64 slice, counted back from the end of the reference; -1 is the window.
    """

    users: npt.NDArray[np.int64]
    slices: npt.NDArray[np.int64]

    @property
    def current(self) -> Labels:
        """(n,) whether the unit belongs to the window."""
        return self.slices < 0

    def take(self, keep: Labels) -> "Units":
        """Return the units where ``keep`` holds."""
        return Units(self.users[keep], self.slices[keep])

    def reference_slices(self, min_units: int) -> list[int]:
        """Return the slices of the reference that have at least ``min_units`` units."""
        values, counts = np.unique(self.slices[~self.current], return_counts=True)
        return [int(v) for v, c in zip(values, counts, strict=True) if c >= min_units]


def redraw(units: Units, *, draws: int, seed: int) -> Iterator[Labels]:
    """Yield (chunk, n) labels of the window drawn under "the window is a slice like any other".

    A user with m units has a window unit with probability min(1, m q), where q makes the expected
    number of window units the real one, and each of the m units is equally likely to be it.
    """
    order = np.argsort(units.users, kind="stable")
    _, start, count = np.unique(units.users[order], return_index=True, return_counts=True)
    chance = _chances(count, int(units.current.sum()))
    rng = np.random.default_rng(seed)
    step = max(1, CELLS // max(1, len(units.users)))
    for first in range(0, draws, step):
        rows = min(step, draws - first)
        uniform = rng.random((rows, len(count)))
        row, user = np.nonzero(uniform < chance)
        place = (uniform[row, user] / chance[user] * count[user]).astype(np.int64)
        place = np.minimum(place, count[user] - 1)
        labels = np.zeros((rows, len(units.users)), dtype=bool)
        labels[row, order[start[user] + place]] = True
        yield labels


def _chances(count: npt.NDArray[np.int64], wanted: int) -> Floats:
    """(users,) min(1, m q) with their sum equal to ``wanted``, by bisection over q."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (
            (middle, high) if np.minimum(1, count * middle).sum() < wanted else (low, middle)
        )
    return np.minimum(1.0, count * high)
