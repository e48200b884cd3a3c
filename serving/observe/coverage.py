"""How many distinct items were answered lately."""

import time
from collections.abc import Callable, Iterable

STEPS = 6


class Coverage:
    """Counts the distinct items of a sliding window, exact to a sixth of its length.

    Args:
        seconds: Length of the window.
        clock: Monotonic seconds.
    """

    def __init__(
        self, seconds: float = 3600.0, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._step = seconds / STEPS
        self._clock = clock
        self._current = int(clock() / self._step)
        self._last: dict[str, int] = {}

    def add(self, items: Iterable[str]) -> None:
        """Note answered items."""
        current = self._current
        for item in items:
            self._last[item] = current

    def count(self) -> int:
        """Return the number of distinct items of the window."""
        now = int(self._clock() / self._step)
        if now != self._current:
            self._current = now
            # The answering thread may add while this one looks, hence a copy, and no removal of
            # an item that has just come back.
            for item, step in list(self._last.items()):
                if step <= now - STEPS and self._last.get(item) == step:
                    del self._last[item]
        return len(self._last)
