"""Keys of the Amazon releases, and what describes a product."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from counterpoint.datasets._files import RawTable
from counterpoint.datasets._staging import HEAD_BYTES, head
from counterpoint.errors import DataError

HEAD_LINES = 100
TEXT_CHARACTERS = 2_000
"""Of features and description: more than a sentence encoder reads."""

METADATA_KEYS = (
    "asin", "parent_asin", "title", "features", "feature", "description", "categories", "category",
    "main_category", "main_cat", "store", "brand", "price",
)  # fmt: skip

ENTITIES = {
    "&amp;": "&", "&quot;": '"', "&#39;": "'", "&#x27;": "'", "&lt;": "<", "&gt;": ">",
    "&nbsp;": " ", "&reg;": "®", "&trade;": "™", "&eacute;": "é",
}  # fmt: skip


@dataclass(frozen=True)
class Release:
    """Keys of the reviews.

    Attributes:
        name: Year.
        columns: Canonical column -> key.
    """

    name: str
    columns: dict[str, str]


RELEASES = (
    Release(
        "2018",
        {
            "user_id": "reviewerID",
            "item_id": "asin",
            "value": "overall",
            "timestamp": "unixReviewTime",
        },
    ),
    # Variants of a product have an asin each and share its parent_asin.
    Release(
        "2023",
        {
            "user_id": "user_id",
            "item_id": "parent_asin",
            "value": "rating",
            "timestamp": "timestamp",
        },
    ),
)


def keys_of(path: Path) -> set[str]:
    """Return the keys of the first objects of a JSON-lines file.

    Raises:
        DataError: The file is missing, empty, or holds no JSON object among its first lines.
    """
    if not path.is_file():
        raise DataError(f"File {path} does not exist or is a folder. Correct the path.")
    lines = head(path, HEAD_BYTES).decode("utf-8", "replace").splitlines()[:HEAD_LINES]
    keys: set[str] = set()
    for line in lines:
        try:
            found = json.loads(line)
        except ValueError:
            continue
        keys |= found.keys() if isinstance(found, dict) else set()
    if not keys:
        raise DataError(
            f"{path.name} holds no JSON object among its first {HEAD_LINES} lines; reviews and "
            "metadata are JSON lines, one object a line. Correct the path."
        )
    return keys


def describe(raw: RawTable) -> RawTable:
    """Add title, text, category, department, brand and price, whichever release they come from.

    The new columns are lists, which need no separator and cannot be taken for JSON text.
    """
    added = {
        "title": _clean(_first_of(raw, "title")),
        "text": _text(raw),
        "category": _clean(_first_of(raw, "categories", "category")),
        "department": _clean(_first_of(raw, "main_category", "main_cat")),
        "brand": _clean(_first_of(raw, "store", "brand")),
        "price": _amounts(_first_of(raw, "price")),
    }
    new = [name for name in added if name not in raw.columns]
    return dataclasses.replace(
        raw, rows=raw.rows.with_columns(**added), columns=[*raw.columns, *new]
    )


def _text(raw: RawTable) -> pl.Expr:
    parts = [
        _clean(_first_of(raw, *names)) for names in (("features", "feature"), ("description",))
    ]
    text = pl.concat_list(parts).list.join("\n").str.head(TEXT_CHARACTERS)
    return pl.concat_list(text)


def _first_of(raw: RawTable, *names: str) -> pl.Expr:
    """List of the values of the first key that a row has; empty where it has none."""
    lists = []
    for value in (pl.col(name) for name in names if name in raw.columns):
        array = value.str.starts_with("[")
        # Decoding fails on text that is no JSON, so the other rows are blanked first.
        listed = pl.when(array).then(value).str.json_decode(pl.List(pl.String))
        lists.append(pl.when(array).then(listed).otherwise(pl.concat_list(value)))
    lists = [pl.when(values.list.drop_nulls().list.len() > 0).then(values) for values in lists]
    return pl.coalesce(*lists, pl.lit([], dtype=pl.List(pl.String)))


def _clean(values: pl.Expr) -> pl.Expr:
    """Without markup and blank values."""
    text = pl.element().str.replace_all(r"<[^>]*>", " ").str.replace_many(ENTITIES)
    plain = values.list.eval(text.str.replace_all(r"\s+", " ").str.strip_chars())
    return plain.list.eval(pl.element().filter(pl.element() != ""))


def _amounts(prices: pl.Expr) -> pl.Expr:
    """First amount of ``$1,299.00`` or ``$12.99 - $25.00``; anything else is left out."""
    amount = pl.element().str.replace_all(",", "").str.extract(r"^\s*\$?\s*(\d+(?:\.\d+)?)")
    return prices.list.eval(amount.drop_nulls()).list.head(1)
