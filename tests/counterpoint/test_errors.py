import errno
import sqlite3

import pytest

from counterpoint.errors import DataError, SetupError, as_fault


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device", "file"),
        RuntimeError("I/O error: No space left on device (os error 28)"),
        sqlite3.OperationalError("database or disk is full"),
    ],
)
def test_a_full_disk_is_the_same_fault_whoever_noticed_it(error: Exception) -> None:
    fault = as_fault(error)
    assert isinstance(fault, SetupError) and "disk is full" in str(fault)


def test_our_own_faults_stay_and_bugs_are_none() -> None:
    own = DataError("x")
    assert as_fault(own) is own
    assert as_fault(ValueError("bug")) is None
    assert as_fault(PermissionError(errno.EACCES, "Permission denied", "file")) is None
