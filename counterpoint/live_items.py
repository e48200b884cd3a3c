"""Items that are added, changed or removed while a model serves: their values and their checks.

The columns are those of the canonical items table. Standard library only: the served model
`catalogue` checks an item with the code that the command line and the next training use.
"""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from counterpoint import live_vectors
from counterpoint.attributes import Spec, normalise
from counterpoint.item_text import item_text

MAX_ID = 256
"""Longest id in characters; what validation takes by default (``validation.max_id_length``)."""

MAX_TITLE = 1_000
MAX_TEXT = 20_000
MAX_ATTRIBUTES = 200
MAX_ATTRIBUTE = 256

FIELDS = ("item_id", "title", "text", "attributes", "available_from", "available_until", "vectors")


class FaultyItem(ValueError):
    """An item is wrong; the message begins with the field."""


@dataclass(frozen=True)
class LiveItem:
    """One item as it was given.

    Attributes:
        item_id: Its id.
        title: Shown to people; none: what the model knows, else the id.
        text: Description; read by the language model.
        attributes: Raw ``name=value`` tokens. Each version bins them by its own specification.
        available_from: Microseconds since 1970, or none.
        available_until: Microseconds since 1970, or none.
        vectors: Name of a modality and its vector, as it was given: little-endian float32. Each
            version reads those of the modalities it was trained with.
    """

    item_id: str
    title: str | None = None
    text: str | None = None
    attributes: tuple[str, ...] = ()
    available_from: int | None = None
    available_until: int | None = None
    vectors: tuple[tuple[str, bytes], ...] = ()

    def tokens(self, spec: Spec) -> list[str]:
        """The tokens under a version's specification.

        Raises:
            ValueError: A value does not fit, such as a word where numbers are binned.
        """
        return normalise(self.attributes, spec)

    def described(self, spec: Spec) -> str:
        """The text that the language model reads of it."""
        return item_text(self.title, self.tokens(spec), self.text)

    def row(self) -> dict[str, Any]:
        """Its JSON form, times as ISO 8601; ``parse`` reads it back."""
        return {
            "item_id": self.item_id,
            "title": self.title,
            "text": self.text,
            "attributes": list(self.attributes),
            "available_from": instant(self.available_from),
            "available_until": instant(self.available_until),
            "vectors": {name: live_vectors.numbers(content) for name, content in self.vectors},
        }


@dataclass(frozen=True)
class StoredItem:
    """One row of the store.

    Attributes:
        item: The item as it was given.
        added_at: Microseconds since 1970.
        removed_at: When it was removed (a tombstone hides the item at once), or none.
        revision: Number of the change that wrote the row; rises over the whole store.
    """

    item: LiveItem
    added_at: int
    removed_at: int | None
    revision: int


@dataclass(frozen=True)
class Vector:
    """The text vector of an item: little-endian float32 under an encoder and a text."""

    encoder_sha256: str
    item_id: str
    text_sha256: str
    content: bytes


def parse(given: Mapping[str, Any], *, spec: Spec | None = None) -> LiveItem:
    """Check one item.

    Args:
        given: The fields of ``FIELDS``; all but ``item_id`` may be absent or null. ``attributes``
            is a list of ``name=value``, or an object of name -> value or list of values. Times are
            ISO 8601 (UTC unless they say otherwise) or datetimes. ``vectors`` is an object of
            name of a modality -> list of numbers, or null.
        spec: How a version bins attributes; none: only their form is checked.

    Raises:
        FaultyItem: Names the field, its value and what is allowed.
    """
    if not isinstance(given, Mapping):
        raise FaultyItem(f"item: {_short(given)} is not an object with the fields {_fields()}.")
    unknown = sorted(str(name) for name in given if name not in FIELDS)
    if unknown:
        raise FaultyItem(f"{unknown[0]}: unknown field; an item has {_fields()}.")
    item = LiveItem(
        item_id=item_id(given.get("item_id")),
        title=_text(given, "title", MAX_TITLE),
        text=_text(given, "text", MAX_TEXT),
        attributes=_attributes(given.get("attributes"), spec or {}),
        available_from=_time(given, "available_from"),
        available_until=_time(given, "available_until"),
        vectors=_vectors(given.get("vectors")),
    )
    start, end = item.available_from, item.available_until
    if start is not None and end is not None and end <= start:
        raise FaultyItem(
            f"available_until: {instant(end)} is not after available_from {instant(start)}; an "
            f"item is available in [available_from, available_until)."
        )
    return item


def item_id(value: Any) -> str:
    """Check an id.

    Raises:
        FaultyItem: It is absent, blank, too long, or no text.
    """
    if value is None or value == "":
        raise FaultyItem("item_id: missing; every item needs an id of its own.")
    if not isinstance(value, str):
        raise FaultyItem(f"item_id: {_short(value)} is not a string; send for example '42'.")
    found = _encodable(value, "item_id")
    if not found.strip() or found != found.strip():
        raise FaultyItem(f"item_id: {_short(value)} is blank or begins or ends with a space.")
    if len(found) > MAX_ID:
        raise FaultyItem(f"item_id: {len(found)} characters; at most {MAX_ID} are allowed.")
    if any(unicodedata.category(sign) == "Cc" for sign in found):
        raise FaultyItem(f"item_id: {_short(value)} holds a control character.")
    return found


def instant(micros: int | None) -> str | None:
    """Microseconds since 1970 as ISO 8601."""
    if micros is None:
        return None
    seconds, rest = divmod(micros, 1_000_000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest).isoformat()


def micros(moment: datetime) -> int:
    """A time as microseconds since 1970; a naive one is UTC."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    past = aware - datetime(1970, 1, 1, tzinfo=UTC)
    return (past.days * 86_400 + past.seconds) * 1_000_000 + past.microseconds


def _fields() -> str:
    return ", ".join(FIELDS)


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}…"


def _encodable(value: str, field: str) -> str:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise FaultyItem(f"{field}: {_short(value)} holds half a surrogate pair.") from None
    if "\0" in value:
        raise FaultyItem(f"{field}: {_short(value)} holds a NUL character.")
    return value


def _text(given: Mapping[str, Any], field: str, longest: int) -> str | None:
    value = given.get(field)
    if value is None:
        return None
    if not isinstance(value, str):
        raise FaultyItem(f"{field}: {_short(value)} is not a string.")
    if len(value) > longest:
        raise FaultyItem(f"{field}: {len(value)} characters; at most {longest} are allowed.")
    return _encodable(value, field).strip() or None


def _attributes(value: Any, spec: Spec) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, Mapping):
        tokens = [
            f"{name}={_plain(name, one)}"
            for name, many in value.items()
            for one in (
                many if isinstance(many, Sequence) and not isinstance(many, str) else [many]
            )
            if one is not None
        ]
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        tokens = list(value)
    else:
        raise FaultyItem(
            f"attributes: {_short(value)} is neither a list of name=value nor an object."
        )
    if len(tokens) > MAX_ATTRIBUTES:
        raise FaultyItem(f"attributes: {len(tokens)} values; at most {MAX_ATTRIBUTES} are allowed.")
    for token in tokens:
        if not isinstance(token, str):
            raise FaultyItem(f"attributes: {_short(token)} is not text of the form name=value.")
        if len(token) > MAX_ATTRIBUTE:
            raise FaultyItem(
                f"attributes: {_short(token)} has {len(token)} characters; at most "
                f"{MAX_ATTRIBUTE} are allowed."
            )
        _encodable(token, "attributes")
    try:
        normalise(tokens, spec)
    except ValueError as error:
        raise FaultyItem(f"attributes: {error} Send for example genre=Drama.") from None
    return tuple(dict.fromkeys(tokens))


def _plain(name: str, value: Any) -> Any:
    """Return a value that can be written after ``name=``."""
    if not isinstance(value, str | bool | int | float):
        raise FaultyItem(
            f"attributes: {_short(value)} of {_short(name)} is not allowed; send a text, a number "
            f"or a list of them."
        )
    return value


def _vectors(value: Any) -> tuple[tuple[str, bytes], ...]:
    try:
        return live_vectors.parse(value)
    except ValueError as error:
        raise FaultyItem(f"vectors: {error}") from None


def _time(given: Mapping[str, Any], field: str) -> int | None:
    value = given.get(field)
    if value is None or value == "":
        return None
    moment = value
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value.strip())
        except ValueError:
            moment = None
    if not isinstance(moment, datetime):
        raise FaultyItem(
            f"{field}: {_short(value)} is not a time; send ISO 8601 such as "
            f"2026-01-31T18:00:00+00:00."
        )
    try:
        return micros(moment)
    except OverflowError:
        raise FaultyItem(f"{field}: {_short(value)} is out of range.") from None
