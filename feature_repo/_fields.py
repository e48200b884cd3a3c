"""Feast fields of the tables of counterpoint/feature_tables.py, which alone defines them."""

from typing import Final

import polars as pl
from feast import Field
from feast.types import Array, Bool, FeastType, Int64, String, UnixTimestamp

from counterpoint import columns, feature_tables

_TYPES: Final[dict[pl.DataType, FeastType]] = {
    pl.String(): String,
    pl.Int64(): Int64,
    columns.INSTANT: UnixTimestamp,
    pl.List(pl.String()): Array(String),
    pl.List(pl.Int64()): Array(Int64),
    pl.List(pl.Boolean()): Array(Bool),
}


def fields(table: str) -> list[Field]:
    """Return join key and features of a table; the feature timestamp belongs to the source."""
    return [
        Field(name=name, dtype=_TYPES[dtype])
        for name, dtype in feature_tables.SCHEMAS[table].items()
        if name != columns.FEATURE_TIMESTAMP
    ]
