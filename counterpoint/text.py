"""Templates that turn item and user rows into the text the language model reads."""

from collections.abc import Iterable

import polars as pl

from counterpoint import columns

TEMPLATE_VERSION = 1
"""Raised whenever a template changes: a model keeps the version its vectors were made with."""


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


def item_texts(items: pl.DataFrame) -> list[str]:
    """Return one text per item: title, attributes, description; empty where nothing is known.

    Args:
        items: Canonical items; absent columns count as null.
    """
    return [
        _join(
            row.get(columns.TITLE),
            describe_attributes(row.get(columns.ATTRIBUTES)),
            row.get(columns.TEXT) if row.get(columns.TEXT) != row.get(columns.TITLE) else None,
        )
        for row in items.iter_rows(named=True)
    ]


def user_texts(users: pl.DataFrame) -> list[str]:
    """Return one text per user from the attributes; empty where nothing is known.

    Args:
        users: Canonical users.
    """
    return [_join(describe_attributes(tokens)) for tokens in users[columns.ATTRIBUTES].to_list()]


def _join(*parts: str | None) -> str:
    cleaned = (" ".join(part.split()).rstrip(".") for part in parts if part)
    return ". ".join(part for part in cleaned if part)
