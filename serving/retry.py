"""When and how long a client waits before it asks again."""

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Retry:
    """Exponential backoff with jitter.

    A request is sent again when no server could be reached, or when an attempt ran into
    ``attempt_timeout``; never when the server refused or failed to compute the answer. To outlast a
    restart of the server, give enough attempts and a timeout: 20 attempts and 15 s are enough for
    one of ten seconds.

    Attributes:
        attempts: How often a request is sent at most.
        first: Seconds before the second attempt.
        factor: Growth of the wait.
        longest: Seconds; a wait never exceeds it.
        jitter: Each wait is shortened by a random share up to this one, so that clients that failed
            together do not return together.
        attempt_timeout: Seconds after which one attempt is given up; none: all that is left.
    """

    attempts: int = 4
    first: float = 0.05
    factor: float = 2.0
    longest: float = 1.0
    jitter: float = 0.5
    attempt_timeout: float | None = None


NEVER = Retry(attempts=1)
"""Every fault is the caller's at once."""

_RANDOM = random.Random()


class Deadline:
    """The time one call may take, over all its attempts.

    Args:
        seconds: From now on.
        retry: The policy.
    """

    def __init__(self, seconds: float, retry: Retry) -> None:
        self.seconds = seconds
        self._retry = retry
        self._end = time.monotonic() + seconds

    def attempts(self) -> Iterator[float]:
        """Yield the timeout of each attempt; at least one."""
        for number in range(max(1, self._retry.attempts)):
            left = self._end - time.monotonic()
            if number and left <= 0:
                return
            limit = self._retry.attempt_timeout
            yield max(left, 1e-6) if limit is None else max(1e-6, min(left, limit))

    def wait(self, failures: int) -> float | None:
        """Return the seconds to wait after so many failures; none: there is no time left."""
        retry = self._retry
        if failures >= retry.attempts:
            return None
        longest = min(retry.longest, retry.first * retry.factor ** (failures - 1))
        seconds = longest * (1 - retry.jitter * _RANDOM.random())
        return seconds if time.monotonic() + seconds < self._end else None
