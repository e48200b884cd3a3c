"""Suite of the users."""

import great_expectations as gx

from counterpoint import columns
from counterpoint.config.validation import ValidationConfig
from counterpoint.expectations import _rules

KEY = (columns.USER,)
CHECKED = (columns.USER,)


def rows(config: ValidationConfig) -> gx.ExpectationSuite:
    """Return the rules every user must keep."""
    return gx.ExpectationSuite(
        name="users",
        expectations=[
            *_rules.identifier(columns.USER, config.max_id_length),
            _rules.first_copy("user_id (the first row stays)"),
        ],
    )


def table(config: ValidationConfig) -> gx.ExpectationSuite:
    """Return the rules of the whole table."""
    return gx.ExpectationSuite(name="users as a whole", expectations=_rules.shares(config))
