"""Options of the ``tables`` data set."""

from itertools import pairwise
from typing import Any

from pydantic import Field, field_validator, model_validator

from counterpoint.attributes import AttributeSpec
from counterpoint.config.base import Section
from counterpoint.datasets._files import FileConfig


class InteractionColumns(Section):
    """Source columns of the interactions; unset ones are found by their common names."""

    user_id: str | None = None
    item_id: str | None = None
    timestamp: str | None = None
    """Empty text: the file has no times; the order of its rows stands in for them."""

    event: str | None = None
    """Kind of interaction: view, click, purchase, rating …"""

    value: str | None = None
    """A number: rating, quantity, seconds watched …"""


class ItemColumns(Section):
    """Source columns of the items; unset ones are found by their common names."""

    item_id: str | None = None
    title: str | None = None
    text: str | tuple[str, ...] | None = None
    """One or several columns, joined in this order."""

    available_from: str | None = None
    available_until: str | None = None


class UserColumns(Section):
    """Source columns of the users; unset ones are found by their common names."""

    user_id: str | None = None


class Attribute(Section):
    """How a column becomes ``name=value`` tokens."""

    column: str | None = None
    """Source column; none: the name of the attribute."""

    separator: str | None = Field(default=None, min_length=1)
    """The cell holds several values, divided by this text."""

    bins: tuple[float, ...] | None = Field(default=None, min_length=1)
    """Increasing lower edges: numbers are replaced by their bin."""

    @field_validator("bins")
    @classmethod
    def _increasing(cls, value: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if value and any(low >= high for low, high in pairwise(value)):
            raise ValueError("bins must increase strictly")
        return value

    @property
    def spec(self) -> AttributeSpec:
        """What serving needs to make the same tokens."""
        spec: AttributeSpec = {}
        if self.separator:
            spec["separator"] = self.separator
        if self.bins:
            spec["bins"] = list(self.bins)
        return spec


class Described(FileConfig):
    """A table whose rows have attributes."""

    attributes: dict[str, Attribute] | None = None
    """Attribute -> column, separator and bins, or a list of columns; unset: columns with common
    names (genre, category, brand, age, gender …); empty: none."""

    @field_validator("attributes", mode="before")
    @classmethod
    def _from_list(cls, value: Any) -> Any:
        return {key: {} for key in value} if isinstance(value, list | tuple) else value

    @field_validator("attributes")
    @classmethod
    def _names(cls, value: dict[str, Attribute] | None) -> dict[str, Attribute] | None:
        if wrong := [name for name in value or () if "=" in name or not name.strip()]:
            raise ValueError(f"attribute names must not be blank or hold '=': {wrong}")
        return value


class InteractionsFile(FileConfig):
    """The interactions."""

    columns: InteractionColumns = InteractionColumns()
    timestamp_format: str = "auto"
    """``auto``, ``s``, ``ms``, ``us``, ``ns`` (since 1970), ``iso``, or a strptime format such as
    ``%d.%m.%Y %H:%M``. Times without an offset are taken as UTC."""

    @field_validator("timestamp_format")
    @classmethod
    def _known_form(cls, value: str) -> str:
        if value not in ("auto", "s", "ms", "us", "ns", "iso") and "%" not in value:
            raise ValueError("allowed: auto, s, ms, us, ns, iso, or a strptime format with %")
        return value


class ItemsFile(Described):
    """The items."""

    columns: ItemColumns = ItemColumns()


class UsersFile(Described):
    """The users."""

    columns: UserColumns = UserColumns()


class Positive(Section):
    """Which interactions count as liked: every given condition must hold."""

    events: tuple[str, ...] | None = Field(default=None, min_length=1)
    """The event is one of these."""

    min_value: float | None = None
    """The value is at least this: a rating, or a number of plays or purchases."""

    at_user_median: bool = False
    """The value is at least the median of the user's values so far, the event's own among them: for
    counts, whose usual size differs between users. Later events never change what an earlier one
    counts as, so a test fold cannot leak into the labels of training."""


class Config(Section):
    """A data set of your own files."""

    name: str = "tables"
    """Name of the data set in reports."""

    folder: str = "."
    """Relative paths start here."""

    interactions: InteractionsFile
    items: ItemsFile | None = None
    users: UsersFile | None = None

    positive: Positive | None = None
    """Unset: ratings at or above the usual mark of their scale, other values above zero, and every
    row where there is no value."""

    event: str = "interaction"
    """Event of rows whose file has no event column."""

    licence: str | None = None
    """Notice to carry along with the data."""

    @model_validator(mode="before")
    @classmethod
    def _paths_alone(cls, value: Any) -> Any:
        """A path in place of a section: ``items: products.csv``."""
        if not isinstance(value, dict):
            return value
        tables = ("interactions", "items", "users")
        return {
            k: {"path": v} if k in tables and isinstance(v, str) else v for k, v in value.items()
        }
