"""Reads the impression log back as a table: what was shown to whom, for the feedback loop.

``serving/observe/impression_log.py`` writes it inside Triton.
"""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from counterpoint.errors import DataError

logger = logging.getLogger(__name__)

_COLUMNS: dict[str, pl.DataType] = {
    "when": pl.Datetime("us", "UTC"),
    "trace_id": pl.String(),
    "user": pl.String(),
    "version": pl.String(),
    "role": pl.String(),
    "source": pl.String(),
    "degraded": pl.Boolean(),
    "items": pl.List(pl.String),
    "scores": pl.List(pl.Float64),
    "propensities": pl.List(pl.Float64),
    "rules": pl.String(),
}
SCHEMA = pl.Schema(_COLUMNS)
"""One row an answer; ``rules`` is a JSON object. An empty ``user`` was nobody in particular."""


def read(folder: Path) -> pl.DataFrame:
    """Return the impressions of a folder, in the order of their time.

    A line that a killed server left unfinished is skipped, and their number logged.

    Raises:
        DataError: There is no such folder.
    """
    if not folder.is_dir():
        raise DataError(
            f"The impression log {folder} does not exist. Set deploy.impressions and answer "
            f"requests first."
        )
    rows = list(_rows(folder))
    when = pl.col("when").str.to_datetime(time_unit="us", time_zone="UTC")
    text = pl.Schema({**_COLUMNS, "when": pl.String()})
    return pl.DataFrame(rows, schema=text).with_columns(when).sort("when", maintain_order=True)


def shown(impressions: pl.DataFrame) -> pl.DataFrame:
    """Return one row for each shown item, with its place (from 1), score and propensity.

    Where no exploration took place, propensities are null: the list was certain.
    """
    lists = ["items", "scores", "propensities"]
    size = pl.col("items").list.len()
    nothing = pl.lit(None, pl.Float64).repeat_by(size)
    filled = [
        pl.when(pl.col(name).list.len() == size).then(name).otherwise(nothing).alias(name)
        for name in lists[1:]
    ]
    places = pl.int_ranges(1, size + 1).alias("place")
    return (
        impressions.with_columns(*filled, places)
        .filter(size > 0)
        .explode([*lists, "place"])
        .rename({"items": "item_id", "scores": "score", "propensities": "propensity"})
    )


def _rows(folder: Path) -> Iterator[dict[str, Any]]:
    broken = 0
    for path in sorted(folder.glob("impressions-*.jsonl")):
        with path.open("rb") as file:
            for line in file:
                try:
                    found = json.loads(line)
                    yield {name: found[name] for name in SCHEMA}
                except (ValueError, KeyError, TypeError):
                    broken += 1
    if broken:
        logger.warning("%d unfinished lines of %s were skipped", broken, folder)
