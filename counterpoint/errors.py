"""The project's exceptions. Messages say what is wrong, what is allowed, and what to do next."""

import errno
from collections.abc import Iterable


class CounterpointError(Exception):
    """A fault the user can mend; shown without a stack trace.

    Attributes:
        exit_code: Exit status of the command line when this error ends it (see docs/cli.md).
    """

    exit_code = 1


class ConfigError(CounterpointError):
    """The configuration or the command line is wrong; lists every fault at once."""

    exit_code = 2

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults = list(faults)
        super().__init__("\n".join(self.faults))

    def __reduce__(self) -> tuple[type["ConfigError"], tuple[list[str]]]:
        # Without it, a copy from another process would take the message for the list of faults.
        return type(self), (self.faults,)


class DataError(CounterpointError):
    """The input data cannot be read or do not have the needed shape."""

    exit_code = 3


class ValidationFailure(CounterpointError):
    """The data were read but broke the rules of their expectation suite."""

    exit_code = 4


class QualityError(CounterpointError):
    """A model is refused: failed parity, failed gate, failed smoke test."""

    exit_code = 5


class ServerError(CounterpointError):
    """A server could not be started or reached, or answered wrongly."""

    exit_code = 6


class SetupError(CounterpointError):
    """The machine lacks something: a file, a program, disk space, a free port, a download."""

    exit_code = 7


_FULL = ("No space left on device", "database or disk is full")
"""How libraries say it, SQLite last."""


def as_fault(error: Exception) -> CounterpointError | None:
    """Return the fault that a person can mend behind an exception, if there is one.

    A full disk is noticed by whichever library writes at that moment, each with its own exception.
    """
    if isinstance(error, CounterpointError):
        return error
    full = isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}
    if full or any(words in str(error) for words in _FULL):
        return SetupError(
            "The disk is full. Nothing half-written is left in use; free some space ('counterpoint "
            "runs prune' removes old runs) and run the command again."
        )
    return None
