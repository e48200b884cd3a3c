"""The layouts in which MovieLens has been published, as options of ``tables``.

Sources: the README files of GroupLens' releases; F. M. Harper and J. A. Konstan (2015), The
MovieLens Datasets, ACM TiiS 5(4):19.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from counterpoint.datasets import tables
from counterpoint.datasets._files import RawTable

GENRES = (
    "unknown Action Adventure Animation Children's Comedy Crime Documentary Drama Fantasy "
    "Film-Noir Horror Musical Mystery Romance Sci-Fi Thriller War Western"
).split()
"""Order of the flags in ``u.item``."""

OCCUPATIONS = (
    "other", "academic/educator", "artist", "clerical/admin", "college/grad student",
    "customer service", "doctor/health care", "executive/managerial", "farmer", "homemaker",
    "K-12 student", "lawyer", "programmer", "retired", "sales/marketing", "scientist",
    "self-employed", "technician/engineer", "tradesman/craftsman", "unemployed", "writer",
)  # fmt: skip
"""Meaning of the codes 0 to 20 in ``users.dat``."""

USERS = ("user_id", "age", "gender", "occupation", "zip")
ITEMS = ("item_id", "full_title", "release_date", "video_date", "url", *GENRES)
RATINGS = ("user_id", "item_id", "rating", "timestamp")

# The RecBole file spells the placeholder film's title and year so.
UNKNOWN = ("unknown", "unkonwn")

YEAR_AT_END = r"\s*\((\d{4})(?:[-–/]\w*)?\)\s*$"
"""``(1995)``; also ``(1983–1985)`` and ``(2019-)`` of series, ``(1995/I)`` of namesakes."""

Prepare = Callable[[RawTable], RawTable]


@dataclass(frozen=True)
class Layout:
    """Files of one release.

    Attributes:
        name: For messages.
        files: Needed files; a name may be a pattern.
        options: Folder -> options of ``tables`` for its files.
        prepare: Table -> a step that adds derived columns.
    """

    name: str
    files: tuple[str, ...]
    options: Callable[[Path], dict[str, Any]]
    prepare: dict[str, Prepare]

    def missing(self, folder: Path) -> list[str]:
        """Return the needed files that the folder lacks."""
        return [name for name in self.files if not any(folder.glob(name))]


def _grouplens_100k(folder: Path) -> dict[str, Any]:
    # Quotes are ordinary characters in these files.
    file = {"format": "csv", "quote": "", "encoding": "latin-1"}
    return {
        "interactions": {**file, "path": "u.data", "separator": "\t", "header": RATINGS},
        "items": {
            **file, "path": "u.item", "separator": "|", "header": ITEMS, **_item_columns()
        },
        "users": {
            **file, "path": "u.user", "separator": "|", "header": USERS, **_user_columns("")
        },
    }  # fmt: skip


def _recbole(folder: Path) -> dict[str, Any]:
    stem = min(folder.glob("*.inter")).stem
    file = {"format": "csv", "quote": "", "separator": "\t"}
    return {
        "interactions": {**file, "path": f"{stem}.inter"},
        "items": {**file, "path": f"{stem}.item", **_item_columns()},
        "users": {**file, "path": f"{stem}.user", **_user_columns(":token")},
    }


def _dat(encoding: str) -> Callable[[Path], dict[str, Any]]:
    """MovieLens 1M in latin-1, with users; 10M in UTF-8, without."""

    def options(folder: Path) -> dict[str, Any]:
        file = {"format": "csv", "quote": "", "separator": "::", "encoding": encoding}
        made: dict[str, Any] = {
            "interactions": {**file, "path": "ratings.dat", "header": RATINGS},
            "items": {
                **file,
                "path": "movies.dat",
                "header": ("item_id", "full_title", "genres"),
                **_item_columns(),
            },
        }
        if (folder / "users.dat").is_file():
            header = ("user_id", "gender", "age", "code", "zip")
            made["users"] = {**file, "path": "users.dat", "header": header, **_user_columns("")}
        return made

    return options


def _csv(folder: Path) -> dict[str, Any]:
    file = {"format": "csv", "separator": ","}
    return {
        "interactions": {**file, "path": "ratings.csv"},
        "items": {**file, "path": "movies.csv", **_item_columns()},
    }


def _item_columns() -> dict[str, Any]:
    return {
        "columns": {"title": "title"},
        "attributes": {"genre": {"separator": "|"}, "year": {}, "decade": {}},
    }


def _user_columns(suffix: str) -> dict[str, Any]:
    return {
        "attributes": {
            "age": {"column": f"age{suffix}", "bins": tables.AGE_BINS},
            "gender": {"column": f"gender{suffix}"},
            "occupation": {"column": f"occupation{suffix}"},
        }
    }


def _from_flags(raw: RawTable) -> RawTable:
    """Title without its year, year, and genres from the flags of ``u.item``."""
    full = pl.col("full_title")
    flags = [pl.when(pl.col(name) == "1").then(pl.lit(name)) for name in GENRES[1:]]
    return _described(
        raw,
        title=full.str.replace(YEAR_AT_END, ""),
        year=pl.coalesce(
            full.str.extract(YEAR_AT_END), pl.col("release_date").str.extract(r"(\d{4})$")
        ),
        genre=pl.concat_str(flags, separator="|", ignore_nulls=True),
    )


def _from_bars(column: str) -> Prepare:
    """Title without its year, year, and genres from ``Comedy|Drama``."""

    def prepare(raw: RawTable) -> RawTable:
        full, genres = pl.col(column), pl.col("genres")
        return _described(
            raw,
            title=full.str.replace(YEAR_AT_END, ""),
            year=full.str.extract(YEAR_AT_END),
            genre=pl.when(genres != "(no genres listed)").then(genres),
        )

    return prepare


def _from_recbole(raw: RawTable) -> RawTable:
    year = pl.col("release_year:token")
    genres = pl.col("class:token_seq")
    return _described(
        raw,
        title=pl.col("movie_title:token_seq"),
        year=pl.when(~year.is_in(UNKNOWN)).then(year),
        genre=pl.when(~genres.is_in(UNKNOWN)).then(genres.str.replace_all(" ", "|")),
    )


def _described(raw: RawTable, *, title: pl.Expr, year: pl.Expr, genre: pl.Expr) -> RawTable:
    decade = year.str.replace(r"^(\d{3}).*$", "${1}0s")
    return _with(raw, title=title, year=year, decade=decade, genre=genre)


def _occupations(raw: RawTable) -> RawTable:
    """Occupation in words; codes that are not in the README stay as they are."""
    codes = {str(code): name for code, name in enumerate(OCCUPATIONS)}
    return _with(raw, occupation=pl.col("code").replace(codes))


def _with(raw: RawTable, **added: pl.Expr) -> RawTable:
    new = [name for name in added if name not in raw.columns]
    return dataclasses.replace(
        raw, rows=raw.rows.with_columns(**added), columns=[*raw.columns, *new]
    )


LAYOUTS = (
    Layout(
        "100K",
        ("u.data", "u.item", "u.user"),
        _grouplens_100k,
        {"items": _from_flags},
    ),
    Layout(
        "1M",
        ("ratings.dat", "movies.dat", "users.dat"),
        _dat("latin-1"),
        {"items": _from_bars("full_title"), "users": _occupations},
    ),
    Layout(
        "10M",
        ("ratings.dat", "movies.dat"),
        _dat("utf-8"),
        {"items": _from_bars("full_title")},
    ),
    Layout(
        "latest, latest-small, 20M, 25M, 32M",
        ("ratings.csv", "movies.csv"),
        _csv,
        {"items": _from_bars("title")},
    ),
    Layout("RecBole", ("*.inter", "*.item", "*.user"), _recbole, {"items": _from_recbole}),
)
"""Every known layout; the first whose files are all there is taken."""
