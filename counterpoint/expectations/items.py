"""Suite of the items."""

import great_expectations as gx
import great_expectations.expectations as gxe
import polars as pl

from counterpoint import columns
from counterpoint.config.validation import ValidationConfig
from counterpoint.expectations import _rules

KEY = (columns.ITEM,)
DESCRIBED = "has_title_text_or_attributes"
CHECKED = (columns.ITEM, columns.TITLE)


def derive() -> list[pl.Expr]:
    """Return the helper columns."""
    described = (
        pl.col(columns.TITLE).is_not_null()
        | pl.col(columns.TEXT).is_not_null()
        | (pl.col(columns.ATTRIBUTES).list.len() > 0).fill_null(False)
    )
    return [described.alias(DESCRIBED)]


def rows(config: ValidationConfig) -> gx.ExpectationSuite:
    """Return the rules every item must keep."""
    title = gxe.ExpectColumnValuesToNotBeNull(
        column=columns.TITLE, severity=_rules.WARNING, meta=_rules.reason("title is missing")
    )
    return gx.ExpectationSuite(
        name="items",
        expectations=[
            *_rules.identifier(columns.ITEM, config.max_id_length),
            _rules.first_copy("item_id (the first row stays)"),
            title,
            _rules.flag(DESCRIBED, "neither title nor text nor attributes"),
        ],
    )


def table(config: ValidationConfig) -> gx.ExpectationSuite:
    """Return the rules of the whole table."""
    return gx.ExpectationSuite(name="items as a whole", expectations=_rules.shares(config))
