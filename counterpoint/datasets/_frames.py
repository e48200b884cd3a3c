"""Raw tables + column maps -> canonical lazy tables, each beside the rows it could not hold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from counterpoint import columns
from counterpoint.datasets._convert import Converted, Reader
from counterpoint.datasets._source import RAW, REASON, TABLE
from counterpoint.datasets._tables_config import Attribute

ROW_INDEX = "__counterpoint_row"
US_PER_ROW = 1_000_000

Found = Mapping[str, Sequence[str]]
"""Canonical column -> source columns."""


@dataclass(frozen=True)
class Part:
    """One table, divided.

    Attributes:
        accepted: Rows of the canonical schema.
        rejected: ``REJECTED`` rows.
    """

    accepted: pl.LazyFrame
    rejected: pl.LazyFrame


def interactions(reader: Reader, found: Found, *, form: str, event: str) -> Part:
    """Build the interactions without ``positive``; ``row_id`` is the position in the source.

    Args:
        reader: The opened file.
        found: Its columns.
        form: Timestamp format (``Reader.instant``).
        event: Event of rows without one.
    """
    row = pl.col(ROW_INDEX).cast(pl.Int64)
    canonical = {
        columns.ROW: row,
        columns.USER: reader.identifier(found[columns.USER][0]),
        columns.ITEM: reader.identifier(found[columns.ITEM][0]),
        columns.TIMESTAMP: (row * US_PER_ROW).cast(columns.INSTANT),
        columns.EVENT: pl.lit(event),
        columns.VALUE: pl.lit(None, dtype=pl.Float64),
        columns.POSITIVE: pl.lit(None, dtype=pl.Boolean),
    }
    faults = []
    if columns.TIMESTAMP in found:
        instant = reader.instant(found[columns.TIMESTAMP][0], form)
        canonical[columns.TIMESTAMP] = instant.value
        faults.append(instant.fault)
    if columns.EVENT in found:
        canonical[columns.EVENT] = reader.text(found[columns.EVENT][0]).fill_null(event)
    if columns.VALUE in found:
        number = reader.number(found[columns.VALUE][0])
        canonical[columns.VALUE] = number.value
        faults.append(number.fault)
    return _divide(reader, "interactions", canonical, faults)


def items(reader: Reader, found: Found, attributes: Mapping[str, Attribute]) -> Part:
    """Build the items."""
    canonical = {columns.ITEM: reader.identifier(found[columns.ITEM][0])}
    if columns.TITLE in found:
        canonical[columns.TITLE] = reader.text(found[columns.TITLE][0])
    if columns.TEXT in found:
        texts = [reader.text(column) for column in found[columns.TEXT]]
        joined = pl.concat_str(texts, separator="\n", ignore_nulls=True)
        canonical[columns.TEXT] = pl.when(joined != "").then(joined)
    faults = []
    for column in (columns.AVAILABLE_FROM, columns.AVAILABLE_UNTIL):
        if column in found:
            instant = reader.instant(found[column][0], "auto")
            canonical[column] = instant.value
            faults.append(instant.fault)
    tokens = _tokens(reader, attributes)
    canonical[columns.ATTRIBUTES] = tokens.value
    return _divide(reader, "items", canonical, [*faults, tokens.fault])


def users(reader: Reader, found: Found, attributes: Mapping[str, Attribute]) -> Part:
    """Build the users."""
    tokens = _tokens(reader, attributes)
    canonical = {
        columns.USER: reader.identifier(found[columns.USER][0]),
        columns.ATTRIBUTES: tokens.value,
    }
    return _divide(reader, "users", canonical, [tokens.fault])


def _tokens(reader: Reader, attributes: Mapping[str, Attribute]) -> Converted:
    """Tokens of all attributes in one list."""
    parts = [
        reader.tokens(name, rule.column or name, separator=rule.separator, bins=rule.bins)
        for name, rule in attributes.items()
    ]
    if not parts:
        empty = pl.lit([], dtype=pl.List(pl.String))
        return Converted(empty, pl.lit(None, dtype=pl.String))
    return Converted(
        pl.concat_list([part.value for part in parts]), _joined([part.fault for part in parts])
    )


def _joined(faults: Sequence[pl.Expr]) -> pl.Expr:
    """All faults of a row as one text; null where there is none."""
    text = pl.concat_str(
        [*faults, pl.lit(None, dtype=pl.String)], separator="; ", ignore_nulls=True
    )
    return pl.when(text != "").then(text)


SCHEMAS = {
    "interactions": columns.INTERACTIONS,
    "items": columns.ITEMS,
    "users": columns.USERS,
}


def _divide(
    reader: Reader, table: str, canonical: Mapping[str, pl.Expr], faults: Sequence[pl.Expr]
) -> Part:
    rows = reader.raw.rows.with_row_index(ROW_INDEX)
    reason = _joined(faults)
    schema = SCHEMAS[table]
    nulls = {name: pl.lit(None, dtype=kind) for name, kind in schema.items()}
    accepted = rows.filter(reason.is_null()).select(
        {**nulls, **canonical}[name].cast(kind).alias(name) for name, kind in schema.items()
    )
    # Bytes have no JSON form.
    hexed = pl.selectors.binary().bin.encode("hex")
    source = pl.struct(~pl.selectors.binary() - pl.selectors.by_name(ROW_INDEX), hexed)
    unconverted = rows.filter(reason.is_not_null()).select(
        pl.lit(table).alias(TABLE), source.struct.json_encode().alias(RAW), reason.alias(REASON)
    )
    unparsed = reader.raw.rejected.lazy().select(pl.lit(table).alias(TABLE), RAW, REASON)
    return Part(accepted, pl.concat([unparsed, unconverted]))
