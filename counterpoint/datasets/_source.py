"""What every data-set plugin returns: lazy tables, the rows it could not read, the facts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import polars as pl

from counterpoint import columns
from counterpoint.attributes import Spec

TABLE: Final = "table"
RAW: Final = "raw"
REASON: Final = "reason"
REJECTED: Final = pl.Schema({TABLE: pl.String(), RAW: pl.String(), REASON: pl.String()})
"""Rows that no canonical table can hold: their source as JSON text, and why."""


@dataclass(frozen=True)
class Source:
    """A data set as its plugin reads it.

    Every data row of the source is in exactly one of a canonical table or ``rejected``.

    Attributes:
        name: Of the data set.
        origin: Files it was read from.
        interactions: ``columns.INTERACTIONS``, lazy.
        items: ``columns.ITEMS``, lazy; may have no rows.
        users: ``columns.USERS``, lazy; may have no rows.
        rejected: ``REJECTED``, lazy.
        positive: The rule that marks positives, as text.
        positive_rule: The same for programs: ``events``, ``min_value``, ``at_user_median`` or
            ``above``.
        has_timestamps: False: the order of the rows stands in for time.
        licence: Notice to show, if any.
        attributes: ``{"user": spec, "item": spec}``.
        notes: Choices made automatically, as sentences for the user.
    """

    name: str
    origin: str
    interactions: pl.LazyFrame
    items: pl.LazyFrame
    users: pl.LazyFrame
    rejected: pl.LazyFrame
    positive: str
    positive_rule: Mapping[str, Any]
    has_timestamps: bool
    licence: str | None
    attributes: Mapping[str, Spec]
    notes: list[str] = field(default_factory=list)

    def facts(self) -> dict[str, Any]:
        """Return the part of ``dataset.json`` the plugin knows."""
        return {
            "name": self.name,
            "source": self.origin,
            "positive": self.positive,
            "positive_rule": dict(self.positive_rule),
            "has_timestamps": self.has_timestamps,
            "licence": self.licence,
            "attributes": {kind: dict(spec) for kind, spec in self.attributes.items()},
        }


def no_items() -> pl.LazyFrame:
    """Return an empty items table."""
    return columns.ITEMS.to_frame().lazy()


def no_users() -> pl.LazyFrame:
    """Return an empty users table."""
    return columns.USERS.to_frame().lazy()
