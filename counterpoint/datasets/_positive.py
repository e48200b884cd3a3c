"""Which interactions count as liked."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from counterpoint import columns
from counterpoint.datasets._columns import folded
from counterpoint.datasets._tables_config import Positive
from counterpoint.errors import DataError

RATING_NAMES = ("rating", "score", "stars", "overall", "value")
USUAL_MARKS = ((1.0, 1.0), (5.0, 4.0), (10.0, 7.0), (100.0, 70.0))
"""Top of a rating scale -> the mark from which a rating usually counts as liked."""

MAX_EVENTS = 50
WHOLE_PAST = 2**31


@dataclass(frozen=True)
class Rule:
    """How positives are told.

    Attributes:
        expression: Bool over canonical columns.
        text: For people.
        fields: For programs: ``events``, ``min_value``, ``at_user_median`` or ``above``; all of
            them must hold.
        note: Set where the rule was chosen automatically.
    """

    expression: pl.Expr
    text: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    note: str | None = None


def rule(config: Positive | None, interactions: pl.LazyFrame, value_column: str | None) -> Rule:
    """Return the configured rule, or the usual one for the values found.

    Args:
        config: What the user asked for, if anything.
        interactions: Canonical columns event and value.
        value_column: Source column of the value, if there is one.

    Raises:
        DataError: The rule asks for a value column or an event the data do not have.
    """
    if config is not None and config.model_dump(exclude_defaults=True):
        return _configured(config, interactions, value_column)
    if value_column is None:
        return Rule(pl.lit(True), "every event")
    value = pl.col(columns.VALUE)
    finite = interactions.filter(value.is_finite())
    extremes = finite.select(value.min().alias("low"), value.max().alias("top"))
    low, top = extremes.collect(engine="streaming").row(0)
    if top is not None and low == top > 0:
        return Rule(
            pl.lit(True),
            "every event",
            note=f"Positives: every event, as all values of {value_column!r} equal {top:g}. "
            "Set `positive: {min_value: …}` to choose yourself.",
        )
    mark = _usual_mark(value_column, top)
    expression = (value >= mark if mark else value > 0).fill_null(False)
    text = f"value >= {mark:g}" if mark else "value > 0"
    return Rule(
        expression,
        text,
        {"min_value": mark} if mark else {"above": 0.0},
        f"Positives: {text} (chosen from the column {value_column!r}, largest value {top}). "
        "Set `positive: {min_value: …}` to choose yourself.",
    )


def _usual_mark(value_column: str, top: float | None) -> float | None:
    if top is None or folded(value_column) not in RATING_NAMES:
        return None
    return next((mark for scale, mark in USUAL_MARKS if top <= scale), None)


def _configured(config: Positive, interactions: pl.LazyFrame, value_column: str | None) -> Rule:
    conditions = []
    texts = []
    if config.events:
        event = pl.col(columns.EVENT)
        found = interactions.select(event.unique()).collect(engine="streaming")[columns.EVENT]
        known = sorted(found.drop_nulls())
        unknown = [event for event in config.events if event not in known]
        if unknown:
            raise DataError(
                f"positive.events: no row has the event {', '.join(map(repr, unknown))}. "
                f"Events found: {', '.join(known[:MAX_EVENTS])}."
            )
        conditions.append(event.is_in(config.events))
        texts.append(f"event in {', '.join(config.events)}")
    for name in ("min_value", "at_user_median"):
        if value_column is None and name in config.model_dump(exclude_defaults=True):
            raise DataError(
                f"positive.{name} is set but the interactions have no value column. Name it: "
                f"`columns: {{value: <column>}}`, or drop {name}."
            )
    if config.at_user_median:
        conditions.append(at_user_median())
        texts.append("value >= the user's median so far")
    if config.min_value is not None:
        conditions.append(pl.col(columns.VALUE) >= config.min_value)
        texts.append(f"value >= {config.min_value:g}")
    return Rule(
        pl.all_horizontal(conditions).fill_null(False),
        " and ".join(texts),
        config.model_dump(mode="json", exclude_defaults=True),
    )


def at_user_median() -> pl.Expr:
    """Whether a value is at least the median of the user's values up to and with it.

    Events are taken in the order of their timestamps, equal ones in that of the rows; null where
    the value is.
    """
    value = pl.col(columns.VALUE)
    so_far = value.rolling_median(window_size=WHOLE_PAST, min_samples=1)
    return value >= so_far.over(columns.USER, order_by=[columns.TIMESTAMP, columns.ROW])
