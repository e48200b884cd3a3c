"""The template that turns an item into the text the language model reads.

Standard library only: the live items inside Triton use it as training does.
"""

from collections.abc import Iterable

TEMPLATE_VERSION = 1
"""Raised whenever a template changes: a model keeps the version its vectors were made with."""


def item_text(title: str | None, attributes: Iterable[str] | None, text: str | None) -> str:
    """Return title, attributes and description as one text; empty where nothing is known.

    Example:
        >>> item_text("Heat", ["genre=Crime", "genre=Drama"], "A thief. And a policeman.")
        'Heat. genre: Crime, Drama. A thief. And a policeman'
    """
    return join(title, describe_attributes(attributes), text if text != title else None)


def describe_attributes(tokens: Iterable[str] | None) -> str:
    """Turn ``genre=Comedy``, ``genre=Drama``, ``year=1995`` into one text.

    Example:
        >>> describe_attributes(["genre=Comedy", "genre=Drama", "year=1995"])
        'genre: Comedy, Drama. year: 1995'
    """
    values: dict[str, list[str]] = {}
    for token in tokens or ():
        name, _, value = token.partition("=")
        if value:
            values.setdefault(name.replace("_", " "), []).append(value)
    return ". ".join(f"{name}: {', '.join(found)}" for name, found in values.items())


def join(*parts: str | None) -> str:
    """Join the parts that say something to sentences."""
    cleaned = (" ".join(part.split()).rstrip(".") for part in parts if part)
    return ". ".join(part for part in cleaned if part)
