"""Suite of the interactions."""

import sys
from datetime import datetime

import great_expectations as gx
import great_expectations.expectations as gxe
import polars as pl

from counterpoint import columns
from counterpoint.config.validation import ValidationConfig
from counterpoint.expectations import _rules

KEY = (columns.USER, columns.ITEM, columns.TIMESTAMP, columns.EVENT)
"""Rows equal in these are copies of one event."""

KNOWN_ITEM = "item_is_described"
CHECKED = (*KEY, columns.VALUE, columns.POSITIVE)


def usable() -> pl.Expr:
    """Rows that may be the first copy: those no other rule sends away whatever their key."""
    return pl.col(columns.VALUE).is_finite().fill_null(True)


def derive(catalogue: pl.Series) -> list[pl.Expr]:
    """Return the helper columns; without an items table every item counts as described."""
    known = pl.col(columns.ITEM).is_in(catalogue.implode()) if len(catalogue) else pl.lit(True)
    return [known.fill_null(True).alias(KNOWN_ITEM)]


def rows(config: ValidationConfig, *, latest: datetime) -> gx.ExpectationSuite:
    """Return the rules every interaction must keep.

    Args:
        config: Bounds.
        latest: Instant after which a timestamp is in the future.
    """
    earliest = config.earliest
    limit = sys.float_info.max
    stamp, value = columns.TIMESTAMP, columns.VALUE
    expectations = [
        *_rules.identifier(columns.USER, config.max_id_length),
        *_rules.identifier(columns.ITEM, config.max_id_length),
        gxe.ExpectColumnValuesToNotBeNull(
            column=stamp, severity=_rules.CRITICAL, meta=_rules.reason("timestamp is missing")
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column=stamp,
            min_value=earliest,
            severity=_rules.CRITICAL,
            meta=_rules.reason(f"timestamp is before {earliest:%Y-%m-%d}"),
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column=stamp,
            max_value=latest,
            severity=_rules.CRITICAL,
            meta=_rules.reason("timestamp is in the future"),
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column=value,
            min_value=-limit,
            max_value=limit,
            severity=_rules.CRITICAL,
            meta=_rules.reason("value is not finite"),
        ),
        gxe.ExpectColumnValuesToNotBeNull(
            column=columns.EVENT, severity=_rules.CRITICAL, meta=_rules.reason("event is missing")
        ),
        _rules.first_copy("of an earlier row (same user, item, timestamp and event)"),
        _rules.flag(KNOWN_ITEM, "the item is not in the items table"),
    ]
    return gx.ExpectationSuite(name="interactions", expectations=expectations)


def table(config: ValidationConfig) -> gx.ExpectationSuite:
    """Return the rules of the whole table."""
    figures = (
        ("accepted_rows", config.min_interactions, "interactions (validation.min_interactions)"),
        ("users", config.min_users, "distinct users (validation.min_users)"),
        ("items", config.min_items, "distinct items (validation.min_items)"),
        ("positives", 1, "positive interaction (ingest.options.positive)"),
    )
    expectations = [
        _rules.at_least(figure, minimum, f"too few: at least {minimum} {what}")
        for figure, minimum, what in figures
    ]
    return gx.ExpectationSuite(
        name="interactions as a whole",
        expectations=[*expectations, *_rules.shares(config)],
    )
