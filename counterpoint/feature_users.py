"""The users of a features folder as histories, as a model reads them."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from counterpoint import artifacts, columns, histories
from counterpoint.errors import DataError
from counterpoint.histories import Histories
from counterpoint.recommender import Recommender


def histories_of(features: Path, recommender: Recommender) -> Histories:
    """Return every known user with the whole history and the attributes.

    Args:
        features: Features folder.
        recommender: Its items count.

    Raises:
        DataError: A file is missing.
    """
    for name in (artifacts.INTERACTIONS, artifacts.USERS, artifacts.ITEMS):
        if not (features / name).is_file():
            raise DataError(f"{features} lacks {name}. Run the stage features first.")
    events = pl.read_parquet(features / artifacts.INTERACTIONS)
    users = pl.read_parquet(features / artifacts.USERS)
    ids = pl.concat([users[columns.USER], events[columns.USER]]).unique().sort().to_list()
    tokens = users[columns.ATTRIBUTES].to_list()
    known: dict[str, Sequence[str]] = {
        user: list(values or ()) for user, values in zip(users[columns.USER], tokens, strict=True)
    }
    return histories.from_events(events, recommender.item_index, user_ids=ids, attributes=known)
