"""Progress of anything that takes more than a few seconds.

On a terminal a bar; in a log (a pipeline step, a pod) a line ``<what>: <done>/<total>`` every few
seconds, which the local runner turns back into a bar.
"""

import logging
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

logger = logging.getLogger(__name__)

LOG_INTERVAL_S = 1.0

T = TypeVar("T")


def track(iterable: Iterable[T], what: str, *, total: int | None = None) -> Iterator[T]:
    """Yield the elements while showing how many are done.

    Args:
        iterable: The work.
        what: A few words without a colon, such as ``Encode item texts``.
        total: Number of elements where the iterable has no length.
    """
    if total is None and isinstance(iterable, Sized):
        total = len(iterable)
    if sys.stderr.isatty():
        yield from _bar(iterable, what, total)
        return
    done, last = 0, time.monotonic()
    for element in iterable:
        yield element
        done += 1
        if time.monotonic() - last >= LOG_INTERVAL_S or done == total:
            logger.info("%s: %d/%s", what, done, total or "?")
            last = time.monotonic()


def _bar(iterable: Iterable[T], what: str, total: int | None) -> Iterator[T]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield from progress.track(iterable, total=total, description=what)
