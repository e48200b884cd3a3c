"""All that can be said about a recommendation, and where the users asked about come from."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from counterpoint import artifacts, columns, tables
from counterpoint.attributes import normalise
from counterpoint.encoder import TextEncoder
from counterpoint.errors import ConfigError, DataError
from counterpoint.explain import Explanation, explain
from counterpoint.histories import Histories, from_events, order_events
from counterpoint.nearest_users import Neighbours, UserIndex
from counterpoint.recommender import Recommender
from counterpoint.stages.batch import liked, positive_rule
from counterpoint.text_terms import TextTerms, text_terms
from counterpoint.user_snapshot import UserSnapshot


@dataclass(frozen=True)
class Account:
    """Why an item is recommended, from all sides.

    Attributes:
        explanation: What the history and the attributes contribute.
        terms: What the item's words contribute; none if they were not asked for.
        neighbours: What similar users did; none if no users are known.
    """

    explanation: Explanation
    terms: TextTerms | None
    neighbours: Neighbours | None

    def plain(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        parts = {"terms": self.terms, "neighbours": self.neighbours}
        shown = {name: None if part is None else asdict(part) for name, part in parts.items()}
        return {**self.explanation.plain(), **shown}


@dataclass(frozen=True)
class Explainer:
    """Explains recommendations of one model.

    Attributes:
        recommender: The model.
        users: All known users, empty where none are; their likes give the neighbours.
        described: Items with descriptions, which a model folder does not keep.
        with_terms: Whether to look at the words of an item; loads the language model.
    """

    recommender: Recommender
    users: Histories
    described: pl.DataFrame | None = None
    with_terms: bool = True

    @cached_property
    def _index(self) -> UserIndex | None:
        return UserIndex(self.users, self.recommender.n_items) if len(self.users) else None

    @cached_property
    def _encoder(self) -> TextEncoder | None:
        settings = self.recommender.settings.encoder
        return TextEncoder(settings) if settings else None

    def account(self, user: Histories, item_id: str) -> Account:
        """Explain one item to one user.

        Raises:
            DataError: The item is unknown or in the history.
        """
        explanation = explain(self.recommender, user, item_id)
        item = self.recommender.item_index[item_id]
        terms = None
        if self.with_terms:
            terms = text_terms(
                self.recommender, user, item, encoder=self._encoder, described=self.described
            )
        index = self._index
        return Account(explanation, terms, index.neighbours(user, item) if index else None)

    def user(self, user_id: str) -> Histories:
        """Find a known user.

        Raises:
            ConfigError: The id is not known.
        """
        known = list(self.users.user_ids)
        if user_id not in known:
            close = get_close_matches(user_id, known, n=3)
            near = f" Similar ids: {', '.join(close)}." if close else ""
            raise ConfigError(
                [
                    f"User {user_id!r} is not among the {len(known)} known users.{near} Give a "
                    "history of item ids instead (--history), or the file that has the user."
                ]
            )
        return self.users.take(np.array([known.index(user_id)]))


def nobody() -> Histories:
    """No users at all."""
    none = np.empty(0, dtype=np.int64)
    return Histories([], np.zeros(1, dtype=np.int64), none, none.astype(bool), none)


def visitor(recommender: Recommender, liked_ids: Sequence[str], tokens: Sequence[str]) -> Histories:
    """A user nobody knows, from what he says.

    Args:
        recommender: The model.
        liked_ids: Item ids, oldest first; all count as liked.
        tokens: ``name=value`` attributes, raw or binned.

    Raises:
        ConfigError: Lists the unknown items and attributes.
    """
    index = recommender.item_index
    faults = [f"Item {item!r} is not in the catalogue." for item in liked_ids if item not in index]
    try:
        spec = recommender.settings.attributes.get("user") or {}
        attributes = normalise(tokens, spec)
    except ValueError as error:
        faults.append(str(error))
    if faults:
        raise ConfigError(faults)
    items = np.array([index[item] for item in liked_ids], dtype=np.int64)
    return Histories(
        ["you"],
        np.array([0, len(items)], dtype=np.int64),
        items,
        np.ones(len(items), dtype=bool),
        np.arange(len(items), dtype=np.int64),
        [attributes],
    )


def users_of_snapshot(path: Path) -> Histories:
    """The users a served version ships (``users.sqlite``).

    Raises:
        DataError: The file is missing.
    """
    if not path.is_file():
        raise DataError(f"{path} is missing: the version is not whole. Deploy again.")
    snapshot = UserSnapshot(path)
    stored = list(snapshot)
    snapshot.close()
    items = np.concatenate([np.empty(0), *(user.items for user in stored)]).astype(np.int64) - 1
    return Histories(
        [user.user_id for user in stored],
        np.concatenate([[0], np.cumsum([len(user.items) for user in stored])]).astype(np.int64),
        items,
        np.concatenate([np.empty(0), *(user.positive for user in stored)]).astype(bool),
        np.arange(len(items), dtype=np.int64),
        [list(user.attributes) for user in stored],
    )


def users_of_tables(
    recommender: Recommender, model: Path, dataset: Path, *, seed: int = 0
) -> tuple[Histories, pl.DataFrame]:
    """The users of a data set folder, and its items.

    Args:
        recommender: The model.
        model: Its folder; knows what counted as liked in training.
        dataset: Folder of canonical tables (stage ``ingest``).
        seed: Of the order of equal timestamps.
    """
    frames = {
        name: pl.read_parquet(dataset / name)
        for name in (artifacts.INTERACTIONS, artifacts.ITEMS, artifacts.USERS)
    }
    rule = positive_rule(model)
    interactions = frames[artifacts.INTERACTIONS].drop_nulls(columns.TIMESTAMP)
    if rule:
        interactions = interactions.with_columns(liked(rule))
    events = order_events(interactions, seed=seed)
    people = frames[artifacts.USERS]
    histories = from_events(
        events,
        recommender.item_index,
        user_ids=pl.concat([events[columns.USER], people[columns.USER]])
        .unique(maintain_order=True)
        .to_list(),
        attributes={
            user: tokens or []
            for user, tokens in zip(
                people[columns.USER], people[columns.ATTRIBUTES].to_list(), strict=True
            )
        },
    )
    return histories, tables.conform(frames[artifacts.ITEMS], columns.ITEMS, table="items")
