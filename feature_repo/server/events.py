"""The body of ``POST /events`` as a checked frame; faults name the field."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import polars as pl
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from counterpoint import columns
from feature_repo.push import EVENT

MOST_EVENTS: Final = 10_000
AHEAD_SECONDS: Final = 300
"""How far a clock may be ahead: an event from the future would stay the newest until then."""


class BadRequest(Exception):
    """A request that cannot be answered.

    Attributes:
        faults: ``{"field": …, "message": …}`` each.
        status: HTTP status.
    """

    def __init__(self, faults: Sequence[dict[str, str]], status: int = 422) -> None:
        self.faults = list(faults)
        self.status = status
        super().__init__("; ".join(f"{f['field']}: {f['message']}" for f in faults))


def _instant(value: Any) -> int:
    """Take microseconds since 1970 or ISO 8601 text (without a zone: UTC)."""
    latest = (time.time() + AHEAD_SECONDS) * 1e6
    if isinstance(value, str):
        try:
            stamp = datetime.fromisoformat(value)
        except ValueError:
            raise ValueError(
                f"{value!r} is not an ISO 8601 time such as 2026-01-31T12:00Z"
            ) from None
        stamp = stamp.replace(tzinfo=stamp.tzinfo or UTC)
        value = round(stamp.timestamp() * 1e6)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{value!r} is neither ISO 8601 text nor whole microseconds since 1970")
    if not 0 < value <= latest:
        raise ValueError(
            f"{value} us since 1970 is not between 1970 and now (a clock may be "
            f"{AHEAD_SECONDS} s ahead); is the unit microseconds?"
        )
    return value


def _now() -> int:
    return round(time.time() * 1e6)


Id = Annotated[str, Field(min_length=1, max_length=512, pattern=r"^[^\x00]*$")]


class Event(BaseModel):
    """One interaction."""

    model_config = ConfigDict(extra="forbid", strict=True)

    user_id: Id
    item_id: Id
    timestamp: Annotated[int, BeforeValidator(_instant)] = Field(default_factory=_now)
    positive: bool = True


class Events(BaseModel):
    """The body of the request."""

    model_config = ConfigDict(extra="forbid", strict=True)

    events: Annotated[list[Event], Field(min_length=1, max_length=MOST_EVENTS)]


def read(body: bytes) -> pl.DataFrame:
    """Return the events of a request body as rows of ``push.EVENT``.

    Raises:
        BadRequest: Names every field that is wrong (the first 20).
    """
    try:
        given = Events.model_validate_json(body)
    except ValidationError as error:
        raise BadRequest(
            [
                {"field": _path(fault["loc"]), "message": _message(fault)}
                for fault in error.errors(include_url=False, include_context=False)[:20]
            ]
        ) from None
    rows = [(e.user_id, e.item_id, e.timestamp, e.positive) for e in given.events]
    schema = dict(EVENT) | {columns.TIMESTAMP: pl.Int64()}
    return pl.DataFrame(rows, schema=schema, orient="row").with_columns(
        pl.col(columns.TIMESTAMP).cast(columns.INSTANT)
    )


def _path(place: tuple[int | str, ...]) -> str:
    """Write ("events", 3, "item_id") as events[3].item_id."""
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text or "body"


def _message(fault: Any) -> str:
    shown = repr(fault["input"])
    given = f" (given: {shown if len(shown) <= 80 else shown[:77] + '...'})"
    return fault["msg"].removeprefix("Value error, ") + given
