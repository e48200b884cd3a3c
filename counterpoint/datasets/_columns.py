"""Which source column is which canonical one: the user's map, or very common names."""

import difflib
import logging
import re
from collections.abc import Mapping, Sequence

from counterpoint import columns

logger = logging.getLogger(__name__)

_ITEM_IDS = (
    "item_id item movie_id product_id article_id book_id isbn track_id song_id artist_id video_id "
    "game_id news_id business_id parent_asin asin sku product_code product movie book track"
).split()
_USER_IDS = (
    "user_id user uid customer_id customer client_id visitor_id reviewer_id member_id account_id "
    "buyer_id player_id"
).split()
COMMON: Mapping[str, Mapping[str, Sequence[str]]] = {
    "interactions": {
        columns.USER: _USER_IDS,
        columns.ITEM: _ITEM_IDS,
        columns.TIMESTAMP: (
            "timestamp datetime date_time event_time event_timestamp created_at time date ts "
            "unix_review_time unix_time rated_at order_date purchase_date review_date"
        ).split(),
        columns.EVENT: "event event_type action action_type behavior behaviour".split(),
        columns.VALUE: (
            "value rating score stars overall quantity qty count plays play_count weight"
        ).split(),
    },
    "items": {
        columns.ITEM: [*_ITEM_IDS, "id"],
        columns.TITLE: (
            "title name item_name item_title product_name product_title movie_title book_title "
            "track_name"
        ).split(),
        columns.TEXT: (
            "text description summary overview plot abstract synopsis body features"
        ).split(),
        columns.AVAILABLE_FROM: ["available_from"],
        columns.AVAILABLE_UNTIL: ["available_until"],
    },
    "users": {columns.USER: [*_USER_IDS, "id"]},
}
"""Table -> canonical column -> source names that are taken for it, best first."""

COMMON_ATTRIBUTES: Mapping[str, Mapping[str, Sequence[str]]] = {
    "interactions": {},
    "items": {
        "genre": "genre genres class".split(),
        "category": "category categories main_category department".split(),
        "brand": "brand manufacturer".split(),
        "author": "author authors".split(),
        "artist": "artist artists artist_name".split(),
        "year": "year release_year".split(),
        "language": "language".split(),
        "colour": "colour color".split(),
        "tag": "tag tags".split(),
    },
    "users": {
        "age": ["age"],
        "gender": "gender sex".split(),
        "occupation": "occupation job profession".split(),
        "country": "country country_code".split(),
        "city": ["city"],
        "segment": "segment customer_segment tier".split(),
    },
}
"""Table -> attribute -> source names that are taken for it when no attributes are configured."""


def folded(name: str) -> str:
    """Return a name without case, punctuation and type suffix: ``userId:token`` -> ``userid``."""
    return re.sub(r"[^a-z0-9]", "", name.partition(":")[0].casefold())


def find(names: Sequence[str], among: Sequence[str]) -> str | None:
    """Return the source column that bears the best of the common names, if any."""
    have = {folded(column): column for column in reversed(among)}
    return next((have[folded(name)] for name in names if folded(name) in have), None)


def absent(column: str, *, label: str, among: Sequence[str]) -> str:
    """Return the fault of a column that is not in the file, with the likeliest one."""
    near = difflib.get_close_matches(column, among, n=1, cutoff=0.6)
    near = near or [name for name in among if folded(name) == folded(column)]
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"Column {column!r} is not in {label}. Columns: {', '.join(among)}.{hint}"


def resolve(
    table: str,
    given: Mapping[str, str | Sequence[str] | None],
    *,
    required: Sequence[str],
    label: str,
    among: Sequence[str],
) -> tuple[dict[str, list[str]], list[str]]:
    """Map canonical columns to source columns.

    Args:
        table: Key of ``COMMON``.
        given: The user's map; null: look for a common name; empty text: the file has none.
        required: Canonical columns the table cannot do without.
        label: Name of the file for messages.
        among: Columns of the file.

    Returns:
        Canonical column -> source columns, and the faults.
    """
    found: dict[str, list[str]] = {}
    faults: list[str] = []
    taken = {source for value in given.values() for source in _listed(value)}
    for canonical, common in COMMON[table].items():
        asked = given.get(canonical)
        if asked is not None:
            sources = _listed(asked)
            faults += [absent(s, label=label, among=among) for s in sources if s not in among]
        else:
            guess = find(common, [column for column in among if column not in taken])
            sources = [guess] if guess else []
        if sources:
            found[canonical] = sources
        elif canonical in required:
            faults.append(
                f"{label} has no column for {canonical!r}. Columns: {', '.join(among)}. "
                f"Name it: `columns: {{{canonical}: <column>}}`"
                + (_HEADER_HINT if _looks_like_data(among) else ".")
            )
    return found, faults


_HEADER_HINT = (
    "; or, as the first line looks like data, name all columns: `header: [user_id, item_id, …]`."
)


def _listed(value: str | Sequence[str] | None) -> list[str]:
    return [value] if isinstance(value, str) and value else [v for v in value or () if v]


def _looks_like_data(header: Sequence[str]) -> bool:
    return sum(bool(re.fullmatch(r"-?\d+([.,]\d+)?", name)) for name in header) * 2 > len(header)
