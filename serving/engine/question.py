"""A query in the terms of one version, and the graph's input tensors made from several of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from serving.engine.eligible import Bounds
from serving.query import Query
from serving.rules._rule import Indices, Rule, Trace
from serving.spec import Arrays

POSITIVE, OTHER = 1, 2
REPEATABLE = 2
"""Added to the kind of an event whose item may be recommended again (counterpoint/graph.py)."""


@dataclass(slots=True)
class Question:
    """One row for the graph.

    Attributes:
        query: What was asked.
        items: (L,) one-based items of the graph's history, oldest first.
        liked: (L,) whether each event was liked.
        seen: One-based items of the whole history, live ones included.
        profile: Places in the profile.
        bounds: What may be recommended.
        source: What the answer is based on.
        degraded: Older or fewer features than usual.
        unknown_items: Ids outside the catalogue.
        unknown_attributes: Attributes outside the profile.
        filtered: What the filters did.
        later: Rules that are no filters: those of the query, and the version's own.
        reranks: Whether one of them needs more candidates than are shown.
        probe: Items that must be candidates even if others score higher.
    """

    query: Query
    items: Indices
    liked: npt.NDArray[np.bool_]
    seen: Indices
    profile: Sequence[int]
    bounds: Bounds
    source: str
    degraded: bool
    filtered: Sequence[Trace] = ()
    unknown_items: Sequence[str] = ()
    unknown_attributes: Sequence[str] = ()
    later: Mapping[str, Rule] = field(default_factory=dict)
    reranks: bool = False
    probe: Indices = field(default_factory=lambda: np.empty(0, dtype=np.int64))


def inputs(
    rows: Sequence[tuple[Question, Indices]], *, n_profile: int, k: int
) -> dict[str, npt.NDArray[np.generic]]:
    """Return the graph's inputs.

    Args:
        rows: Questions, each with the items that alone are allowed (empty: all).
        n_profile: Width of the profile.
        k: Length of the lists.
    """
    size = len(rows)
    length = max(1, max(len(row.items) for row, _ in rows))
    history = np.zeros((size, length), np.int64)
    age = np.zeros((size, length), np.float32)
    kind = np.zeros((size, length), np.int64)
    profile = np.zeros((size, max(1, n_profile)), np.float32)
    exclude = np.zeros((size, max(1, max(len(r.bounds.exclude) for r, _ in rows))), np.int64)
    allow = np.zeros((size, max(1, max(len(only) for _, only in rows))), np.int64)
    for place, (row, only) in enumerate(rows):
        end = len(row.items)
        if end:
            history[place, :end] = row.items
            later = np.cumsum(row.liked)
            age[place, :end] = later[-1] - later
            kinds = OTHER - row.liked  # Liked: 1, else 2.
            kind[place, :end] = kinds + REPEATABLE if row.query.rules.repeats else kinds
        if row.profile:
            profile[place, row.profile] = 1
        exclude[place, : len(row.bounds.exclude)] = row.bounds.exclude
        allow[place, : len(only)] = only
    return {
        "history": history,
        "history_age": age,
        "history_kind": kind,
        "profile": profile,
        "exclude": exclude,
        "allow": allow,
        "k": np.full((size, 1), k, np.int64),
    }


@dataclass(slots=True)
class Best:
    """The graph's answer to one row; K items, best first.

    Attributes:
        item: (K,) one-based, 0 = no item left.
        score: (K,).
        reason: (K, 3) one-based positions in the history.
        taste: (F + 2,) scores items outside the graph.
    """

    item: Indices
    score: npt.NDArray[np.float32]
    reason: Indices
    taste: npt.NDArray[np.float32]


def split(output: Arrays) -> list[Best]:
    """Return the rows of the graph's output."""
    rows = (output[name] for name in ("item", "score", "reason", "taste"))
    return [Best(*row) for row in zip(*rows, strict=True)]
