"""Suite of the vectors of one modality."""

from pathlib import Path

import great_expectations as gx
import polars as pl

from counterpoint import columns
from counterpoint.config.validation import ValidationConfig
from counterpoint.expectations import _rules

KEY = (columns.ITEM,)
CHECKED = (columns.ITEM,)
MAX_WIDTH = 4096

GIVEN = "vector_is_given"
NARROW = "vector_is_narrow"
OF_WIDTH = "vector_has_the_width_of_most"
FINITE = "vector_is_finite"
SPEAKS = "vector_is_not_zero"
KNOWN_ITEM = "item_is_known"

MISSING = "vector is missing"
ZERO = "vector holds only zeros"
UNKNOWN = "item is neither in the items nor in the interactions"
HARMLESS = (MISSING, ZERO, UNKNOWN)
"""Rows that say nothing, and say nothing wrong: none of them counts against the whole table."""

SHOWN_NUMBERS = 4


def usual_width(file: Path) -> int:
    """Return the width of most vectors, the smallest of several; 0 without any vector."""
    widths = pl.scan_parquet(file).select(pl.col(columns.VECTOR).list.len().alias("width"))
    counted = widths.filter(pl.col("width") > 0).group_by("width").len()
    found = counted.sort("len", "width", descending=[True, False]).collect(engine="streaming")
    return int(found["width"][0]) if len(found) else 0


def derive(known: pl.Series, width: int) -> list[pl.Expr]:
    """Return the helper columns.

    Args:
        known: Ids that items or interactions have.
        width: See ``usual_width``.
    """
    vector = pl.col(columns.VECTOR)
    length = vector.list.len().fill_null(0)
    finite = vector.list.eval(pl.element().is_finite().fill_null(False)).list.all()
    zero = vector.list.eval(pl.element().fill_null(1) == 0).list.all()
    return [
        (length > 0).alias(GIVEN),
        (length <= MAX_WIDTH).alias(NARROW),
        ((length == width) | (length == 0)).alias(OF_WIDTH),
        finite.fill_null(True).alias(FINITE),
        (~zero | (length == 0)).fill_null(True).alias(SPEAKS),
        pl.col(columns.ITEM).is_in(known.implode()).fill_null(True).alias(KNOWN_ITEM),
    ]


def example() -> list[pl.Expr]:
    """Return what is shown of a row that breaks a rule: not the whole vector."""
    vector = pl.col(columns.VECTOR)
    first = vector.list.head(SHOWN_NUMBERS).cast(pl.List(pl.String)).list.join(", ")
    return [
        pl.col(columns.ITEM),
        vector.list.len().alias("width"),
        first.alias("first_numbers"),
    ]


def rows(config: ValidationConfig, width: int) -> gx.ExpectationSuite:
    """Return the rules every vector must keep."""
    flags = {
        GIVEN: MISSING,
        NARROW: f"vector has more than {MAX_WIDTH} numbers",
        OF_WIDTH: f"vector has not {width} numbers, as most have",
        FINITE: "vector holds NaN, infinity or a null",
        SPEAKS: ZERO,
        KNOWN_ITEM: UNKNOWN,
    }
    return gx.ExpectationSuite(
        name="vectors",
        expectations=[
            *_rules.identifier(columns.ITEM, config.max_id_length),
            _rules.first_copy("item_id (the first row stays)"),
            *(_rules.flag(column, text, _rules.CRITICAL) for column, text in flags.items()),
        ],
    )


def table(config: ValidationConfig, name: str) -> gx.ExpectationSuite:
    """Return the rules of the whole table of a modality."""
    some = _rules.at_least(
        "accepted_rows", 1, f"at least one usable vector of modality {name} for a known item"
    )
    return gx.ExpectationSuite(
        name=f"vectors of {name} as a whole", expectations=[some, *_rules.shares(config)]
    )
