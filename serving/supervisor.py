"""Runs one program as long as its parent lives. Started as a script; standard library only.

    python -I supervisor.py <pipe-fd> <grace-seconds> <scratch> program arguments…

The parent holds the writing end of the pipe. When it closes (the parent asks for an end, or died
of whatever, SIGKILL included), the program gets SIGTERM, after the grace time SIGKILL, together
with everything it started; a byte in the pipe asks for SIGKILL at once. The scratch folder and
shared memory of its name are removed. A pipe is used instead of the parent-death signal of prctl(2)
because that one fires when the *thread* that started the child ends.
"""

import contextlib
import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

PR_SET_PDEATHSIG = 1
KILL = b"k"
"""What the parent writes to end a sick program without grace."""


def _die_with_supervisor() -> None:
    """Have the kernel end the program if the supervisor itself is killed."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _wait(process: "subprocess.Popen[bytes]", seconds: float) -> bool:
    """Wait for the program; say whether it ended."""
    end = time.monotonic() + seconds
    while process.poll() is None:
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def main() -> int:
    """Run the program and return its exit status."""
    pipe, grace, scratch = int(sys.argv[1]), float(sys.argv[2]), Path(sys.argv[3])
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)  # The pipe alone decides.
    process = subprocess.Popen(sys.argv[4:], preexec_fn=_child)
    while process.poll() is None:
        readable, _, _ = select.select([pipe], [], [], 0.1)
        if readable:
            if os.read(pipe, 1) == KILL:
                process.kill()
            else:
                process.terminate()
            break
    if not _wait(process, grace):
        process.kill()
        process.wait()
    _end_group()
    remove_remains(scratch)
    return process.returncode


def remove_remains(scratch: Path) -> None:
    """Remove the scratch folder and the shared memory of its name."""
    for remains in Path("/dev/shm").glob(f"{scratch.name}*"):
        with contextlib.suppress(OSError):
            remains.unlink()
    shutil.rmtree(scratch, ignore_errors=True)


def _child() -> None:
    for restored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(restored, signal.SIG_DFL)
    _die_with_supervisor()


def _end_group() -> None:
    """Kill what the program left in the process group, which the supervisor leads."""
    members = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError, ProcessLookupError):
                if os.getpgid(int(entry.name)) == os.getpgrp():
                    members.append(int(entry.name))
    for pid in members:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
