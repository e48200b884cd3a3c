"""Why an item is recommended to a user: found by asking the model again without each thing known.

What an event of the history (or an attribute of the user) contributes is the fall of the item's
score when the scorers do not see it and everything else stays: ``s(all) - s(all but it)``. This is
occlusion, or leave-one-out attribution (Zeiler and Fergus 2014): it holds for any scorer, with the
recency of the other events, the fusion and the cold extension as they are. Contributions do not add
up to the score, since events overlap. Whether the named events matter together is put to the test
in every explanation: ``without_named`` is the score of a user to whom they never happened.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from counterpoint import columns, leave_out
from counterpoint.errors import DataError
from counterpoint.histories import Histories
from counterpoint.recommender import Recommender
from counterpoint.score_parts import is_cold, score_parts

NAMED = 3
"""History items an explanation names."""


@dataclass(frozen=True)
class Contribution:
    """What one thing known of the user adds to the score of the item.

    Attributes:
        name: Item id or attribute token.
        title: For people.
        liked: Whether the event was positive; attributes count as liked.
        contribution: Fall of the score without it, in the score's units; may be negative.
        share: Contribution over the sum of the absolute contributions of all events and attributes.
        rank_without: Place of the recommended item without it, from 1.
    """

    name: str
    title: str
    liked: bool
    contribution: float
    share: float
    rank_without: int


@dataclass(frozen=True)
class Explanation:
    """Why an item stands where it stands.

    Attributes:
        user_id: The user.
        item_id: The item.
        title: Of the item.
        score: Of the item for the user.
        rank: Its place among the items the user has not met, from 1.
        because: ``history``, ``attributes`` (no history, but known attributes) or ``popular``.
        cold: The item has no interactions; its score is predicted from text and attributes.
        events: Each item of the history, greatest contribution first.
        attributes: Each known attribute of the user, greatest contribution first.
        named: The ids a person should be told: liked items with the greatest contributions above 0.
        without_named: Score of a user to whom the named items never happened; none without any.
        rank_without_named: Its place for that user.
        parts: Weighted share of each scorer; they add up to the score.
    """

    user_id: str
    item_id: str
    title: str
    score: float
    rank: int
    because: str
    cold: bool
    events: list[Contribution]
    attributes: list[Contribution]
    named: list[str]
    without_named: float | None = None
    rank_without_named: int | None = None
    parts: dict[str, float] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        return asdict(self)


def explain(
    recommender: Recommender, histories: Histories, item_id: str, *, named: int = NAMED
) -> Explanation:
    """Explain an item to a user with one batch of L + P + 1 scored variants.

    Args:
        recommender: The model.
        histories: Exactly one user with L events and P attributes.
        item_id: Any item of the catalogue that is not in the history.
        named: Longest list of named history items.

    Raises:
        DataError: The item is unknown or in the history.
    """
    item = _index(recommender, histories, item_id)
    user = newest(histories, recommender.settings.history_length)
    met, known = np.unique(user.items), _known_attributes(recommender, user)
    keep = np.ones((1 + len(met) + len(known), len(user.items)), dtype=bool)
    keep[1 : 1 + len(met)] = user.items != met[:, None]
    own = list(user.attributes[0])
    tokens = [own] * (1 + len(met)) + [[t for t in own if t != token] for token in known]
    found = leave_out.occlude(recommender, user, keep, tokens, item)
    fall, rank = found.score[0] - found.score[1:], found.rank[1:]
    ids, titles = recommender.item_ids, recommender.items[columns.TITLE].to_list()
    liked = np.isin(met, user.items[user.positive])
    total = max(float(np.abs(fall).sum()), 1e-12)
    events = _ordered(
        [ids[i] for i in met],
        [titles[i] or ids[i] for i in met],
        liked,
        fall[: len(met)],
        rank[: len(met)],
        total,
    )
    attributes = _ordered(
        known, known, np.ones(len(known), dtype=bool), fall[len(met) :], rank[len(met) :], total
    )
    told = [e.name for e in events if e.liked and e.contribution > 0][:named]
    explanation = Explanation(
        user_id=user.user_ids[0],
        item_id=item_id,
        title=titles[item] or item_id,
        score=float(found.score[0]),
        rank=int(found.rank[0]),
        because="history" if user.positive.any() else "attributes" if known else "popular",
        cold=is_cold(recommender, item),
        events=events,
        attributes=attributes,
        named=told,
        parts=score_parts(recommender, user, item),
    )
    if not told:
        return explanation
    rest = ~np.isin(user.items, [recommender.item_index[name] for name in told])
    alone = leave_out.remove(recommender, user, rest[None, :], item)
    return replace(
        explanation, without_named=float(alone.score[0]), rank_without_named=int(alone.rank[0])
    )


def newest(user: Histories, length: int) -> Histories:
    """Return one user with only the newest events, those the model reads.

    Raises:
        ValueError: There is not exactly one user.
    """
    if len(user) != 1:
        raise ValueError(f"{len(user)} users given; explain one at a time (Histories.take).")
    keep = np.arange(len(user.items)) >= len(user.items) - length
    return leave_out.variants(user, keep[None, :])


def _index(recommender: Recommender, histories: Histories, item_id: str) -> int:
    index = recommender.item_index.get(item_id)
    if index is None:
        raise DataError(
            f"Item {item_id!r} is not in the model's catalogue of {recommender.n_items} items. "
            "Add it with its row of an items table (Recommender.extend, or --items), or ask for a "
            "recommended one (-k)."
        )
    if index in histories.items:
        raise DataError(
            f"Item {item_id!r} is in the history of user {histories.user_ids[0]!r}: what a user "
            "has met is never recommended, so there is nothing to explain. Ask for another item."
        )
    return index


def _known_attributes(recommender: Recommender, user: Histories) -> list[str]:
    """Tokens of the user that the model has learned something about."""
    profile = set(recommender.settings.profile)
    return [token for token in dict.fromkeys(user.attributes[0]) if token in profile]


def _ordered(
    names: Sequence[str],
    titles: Sequence[str],
    liked: npt.NDArray[np.bool_],
    fall: npt.NDArray[np.float64],
    rank: npt.NDArray[np.int64],
    total: float,
) -> list[Contribution]:
    return [
        Contribution(
            names[i],
            titles[i],
            bool(liked[i]),
            float(fall[i]),
            float(fall[i]) / total,
            int(rank[i]),
        )
        for i in np.argsort(-fall, kind="stable")
    ]
