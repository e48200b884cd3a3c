"""When a server that died is started again: at once, then later and later, then not at all."""

from collections import deque

from counterpoint.errors import ServerError

LIMIT = 5
WINDOW_SECONDS = 60.0
DELAYS = (0.0, 0.5, 1.0, 2.0, 4.0)


class Restarts:
    """Counts the ends of one server."""

    def __init__(self) -> None:
        self._ends: deque[float] = deque()

    def delay(self, now: float, log: str) -> float:
        """Note an end and return the seconds to wait before the next start.

        Args:
            now: Monotonic seconds.
            log: The end of the server's log, for the error.

        Raises:
            ServerError: It ended too often within a minute.
        """
        self._ends.append(now)
        while self._ends[0] < now - WINDOW_SECONDS:
            self._ends.popleft()
        if len(self._ends) > LIMIT:
            raise ServerError(
                f"tritonserver ended {len(self._ends)} times within {WINDOW_SECONDS:g} s and is "
                f"not started again. The end of its log:\n{log}"
            )
        return DELAYS[len(self._ends) - 1]
