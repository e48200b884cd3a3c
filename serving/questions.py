"""Typed questions to `recommend`, `similar` and `rerank`, as the clients send them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypedDict

from counterpoint.errors import DataError
from serving import rule_options
from serving.query import DEFAULT_K
from serving.rule_options import Rules


@dataclass(frozen=True)
class Question:
    """What is asked of `recommend`; without any field, for the start page.

    Attributes:
        user: A user the store may know; the history is then added to the stored one.
        history: Item ids, oldest first.
        timestamps: Time of each history entry, if known.
        positive: Whether each history entry was liked; default all.
        attributes: ``name=value``; numbers may be raw (``age=31``).
        allow: Items that alone may be recommended; none: all.
        exclude: Items to leave out. What is in the history is left out anyway.
        rules: Filters, boosts, caps, diversity, exploration (serving/rule_options.py).
        k: Length of the list.
        trace_id: Name of the question, which fixes what is drawn; empty: the server draws one.
    """

    user: str = ""
    history: Sequence[str] = ()
    timestamps: Sequence[datetime] = ()
    positive: Sequence[bool] = ()
    attributes: Sequence[str] = ()
    allow: Sequence[str] = ()
    exclude: Sequence[str] = ()
    rules: Rules = ()
    k: int = DEFAULT_K
    trace_id: str = ""

    def values(self) -> dict[str, Sequence[Any]]:
        """Return the entries of each tensor.

        Raises:
            DataError: Entries cannot be sent; names the field.
        """
        lengths = {"history_timestamp": self.timestamps, "history_positive": self.positive}
        for name, given in lengths.items():
            if len(given) not in (0, len(self.history)):
                raise DataError(
                    f"{name}: shape [1, {len(given)}] does not match history "
                    f"[1, {len(self.history)}]; give one value per entry, or none."
                )
        return {
            "user_id": [self.user],
            "history": self.history,
            "history_timestamp": [round(t.timestamp() * 1_000_000) for t in self.timestamps],
            "history_positive": self.positive or [True] * len(self.history),
            "attributes": self.attributes,
            "allow": self.allow,
            "exclude": self.exclude,
            "rules": [_rules(self.rules)],
            "k": [self.k],
            "trace_id": [self.trace_id],
        }


class QuestionFields(TypedDict, total=False):
    """The fields of ``Question`` as keyword arguments."""

    user: str
    history: Sequence[str]
    timestamps: Sequence[datetime]
    positive: Sequence[bool]
    attributes: Sequence[str]
    allow: Sequence[str]
    exclude: Sequence[str]
    rules: Rules
    k: int
    trace_id: str


class SimilarFields(TypedDict, total=False):
    """The fields of ``SimilarQuestion`` but ``items`` as keyword arguments."""

    allow: Sequence[str]
    exclude: Sequence[str]
    rules: Rules
    k: int
    trace_id: str


@dataclass(frozen=True)
class SimilarQuestion:
    """What is asked of `similar`.

    Attributes:
        items: Known items; several stand for their mean.
        allow: Items that alone may be shown; none: all.
        exclude: Items to leave out.
        rules: As of ``Question``.
        k: Length of the list.
        trace_id: As of ``Question``.
    """

    items: Sequence[str]
    allow: Sequence[str] = ()
    exclude: Sequence[str] = ()
    rules: Rules = ()
    k: int = DEFAULT_K
    trace_id: str = ""

    def values(self) -> dict[str, Sequence[Any]]:
        """Return the entries of each tensor.

        Raises:
            DataError: Entries cannot be sent; names the field.
        """
        return {
            "item_id": self.items,
            "allow": self.allow,
            "exclude": self.exclude,
            "rules": [_rules(self.rules)],
            "k": [self.k],
            "trace_id": [self.trace_id],
        }


class RerankFields(TypedDict, total=False):
    """The fields of ``RerankQuestion`` but ``items`` as keyword arguments."""

    user: str
    history: Sequence[str]
    positive: Sequence[bool]
    attributes: Sequence[str]


@dataclass(frozen=True)
class RerankQuestion:
    """What is asked of `rerank`.

    Attributes:
        items: Candidates.
        user: As of ``Question``.
        history: As of ``Question``.
        positive: As of ``Question``.
        attributes: As of ``Question``.
    """

    items: Sequence[str]
    user: str = ""
    history: Sequence[str] = ()
    positive: Sequence[bool] = ()
    attributes: Sequence[str] = ()

    def values(self) -> dict[str, Sequence[Any]]:
        """Return the entries of each tensor.

        Raises:
            DataError: Entries cannot be sent; names the field.
        """
        who = Question(
            user=self.user,
            history=self.history,
            positive=self.positive,
            attributes=self.attributes,
        ).values()
        shared = ("user_id", "history", "history_positive", "attributes")
        return {"item_id": self.items} | {name: who[name] for name in shared}


def _rules(rules: Rules) -> str:
    try:
        return rule_options.encode(rules)
    except (ValueError, TypeError) as error:
        raise DataError(f"rules: {rules!r} cannot be sent ({error}).") from error
