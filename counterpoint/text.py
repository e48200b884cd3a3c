"""Item and user tables as the texts the language model reads."""

import polars as pl

from counterpoint import columns
from counterpoint.item_text import TEMPLATE_VERSION, describe_attributes, item_text, join

__all__ = ["TEMPLATE_VERSION", "describe_attributes", "item_texts", "user_texts"]


def item_texts(items: pl.DataFrame) -> list[str]:
    """Return one text per item: title, attributes, description; empty where nothing is known.

    Args:
        items: Canonical items; absent columns count as null.
    """
    return [
        item_text(row.get(columns.TITLE), row.get(columns.ATTRIBUTES), row.get(columns.TEXT))
        for row in items.iter_rows(named=True)
    ]


def user_texts(users: pl.DataFrame) -> list[str]:
    """Return one text per user from the attributes; empty where nothing is known.

    Args:
        users: Canonical users.
    """
    return [join(describe_attributes(tokens)) for tokens in users[columns.ATTRIBUTES].to_list()]
