"""A function called in a process of its own, so that its CPU time and peak memory are its own."""

import multiprocessing
import resource
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

from counterpoint.errors import SetupError

P = ParamSpec("P")
T = TypeVar("T")

STATUS: Final = Path("/proc/self/status")


def isolated(function: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
    """Call a function in a fresh process and return its result.

    The process is spawned, not forked: it inherits no memory, so its peak is what the function
    needs, and no thread or random state of the caller reaches it.

    Args:
        function: A function of a module (not a closure); it and its arguments must be picklable.
        arguments: Its positional arguments.
        options: Its keyword arguments.

    Raises:
        SetupError: The process was killed.
        Exception: Whatever the function raises.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        try:
            return pool.submit(function, *arguments, **options).result()
        except BrokenProcessPool as error:
            raise SetupError(
                f"The process of {function.__name__} was killed, most likely for lack of memory. "
                "Free some memory, or use smaller data, and run the command again: what is "
                "finished is not repeated where results are kept."
            ) from error


def peak_rss_mb() -> float:
    """Peak resident memory of this process in MB.

    Linux counts the memory of the process that started this one in ``ru_maxrss``, but not in the
    high-water mark of /proc.
    """
    if STATUS.is_file():
        (line,) = (row for row in STATUS.read_text().splitlines() if row.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024.0 if sys.platform != "darwin" else 1024.0**2)
