"""Rules that several suites share; ``meta.reason`` is the text a quarantined row carries."""

import great_expectations.expectations as gxe
from great_expectations.expectations.expectation import Expectation
from great_expectations.expectations.metadata_types import FailureSeverity

from counterpoint.config.validation import ValidationConfig

DUPLICATE = "duplicate"
"""First word of the reason of a repetition."""

EARLIER_COPIES = "earlier_copies"
"""Helper column: 1 where an equal row stands above, else 0."""

CRITICAL = FailureSeverity.CRITICAL
WARNING = FailureSeverity.WARNING


def reason(text: str) -> dict[str, str]:
    """Return the metadata of a rule that is broken for this reason."""
    return {"reason": text}


def identifier(column: str, max_length: int) -> list[Expectation]:
    """Rules of an id: present, not blank, of reasonable length."""
    return [
        gxe.ExpectColumnValuesToNotBeNull(
            column=column, severity=CRITICAL, meta=reason(f"{column} is missing")
        ),
        gxe.ExpectColumnValuesToMatchRegex(
            column=column, regex=r"\S", severity=CRITICAL, meta=reason(f"{column} is blank")
        ),
        gxe.ExpectColumnValueLengthsToBeBetween(
            column=column,
            max_value=max_length,
            severity=CRITICAL,
            meta=reason(f"{column} is longer than {max_length} characters"),
        ),
    ]


def first_copy(what: str) -> Expectation:
    """Rule against repetitions: the first copy stays, later ones break it."""
    return gxe.ExpectColumnValuesToBeInSet(
        column=EARLIER_COPIES, value_set=[0], severity=CRITICAL, meta=reason(f"{DUPLICATE} {what}")
    )


def flag(column: str, text: str, severity: FailureSeverity = WARNING) -> Expectation:
    """Rule that a helper column is true; only counted unless the severity says otherwise."""
    return gxe.ExpectColumnValuesToBeInSet(
        column=column, value_set=[True], severity=severity, meta=reason(text)
    )


def at_least(figure: str, minimum: float, text: str) -> Expectation:
    """Rule of the table: a figure of the profile reaches its minimum."""
    return gxe.ExpectColumnValuesToBeBetween(
        column=figure, min_value=minimum, severity=CRITICAL, meta=reason(text)
    )


def shares(config: ValidationConfig) -> list[Expectation]:
    """Rules of the table: few enough rows are bad, and few enough repeat an earlier one."""
    bounds = (
        ("bad_share", config.fail_fraction, "be quarantined (validation.fail_fraction)"),
        (
            "duplicate_share",
            config.duplicate_fraction,
            "repeat an earlier row (validation.duplicate_fraction)",
        ),
    )
    return [
        gxe.ExpectColumnValuesToBeBetween(
            column=figure,
            max_value=maximum,
            severity=CRITICAL,
            meta=reason(f"at most {maximum:.2%} of the rows may {what}"),
        )
        for figure, maximum, what in bounds
    ]
