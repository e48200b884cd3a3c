"""Are the named history items those that matter? Removed together, they must cost the most.

For many pairs of a user and a recommended item the named events are removed from the history and
the item is scored again; so are as many liked events drawn at random, and those that the served
graph names as its reasons (a linearisation, see ``graph.py``). A deletion test in the sense of
Petsiuk et al. (2018), with the model itself as the judge.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from counterpoint import columns, leave_out
from counterpoint.errors import DataError
from counterpoint.explain import NAMED, explain, newest
from counterpoint.histories import Histories
from counterpoint.progress import track
from counterpoint.recommender import Recommender

EXPLAINED, SERVED, RANDOM = "explained", "served", "random"
TOP = 10
"""The explained item is drawn from a user's best ones."""


@dataclass(frozen=True)
class Deletions:
    """What happened to the item when some events were removed, over P pairs.

    Attributes:
        fall: (P,) fall of its score.
        places: (P,) places it lost in the user's ranking.
    """

    fall: npt.NDArray[np.float64]
    places: npt.NDArray[np.int64]


def deletions(
    recommender: Recommender, histories: Histories, *, pairs: int, seed: int
) -> dict[str, Deletions]:
    """Measure over pairs of a user and one of the user's ten best items.

    Args:
        recommender: The model.
        histories: Users; those with at least twice ``NAMED`` liked items take part.
        pairs: Pairs at most, one a user.
        seed: Of the users, the items and the events at random.

    Returns:
        ``explained``, ``served`` and ``random`` -> their deletions, the pairs in one order.

    Raises:
        DataError: No user has enough liked items.
    """
    rng = np.random.default_rng(seed)
    outcomes: dict[str, list[tuple[float, int]]] = {EXPLAINED: [], SERVED: [], RANDOM: []}
    for index in track(_drawn(histories, pairs, rng), "Explain and remove"):
        user = newest(histories.take(np.array([index])), recommender.settings.history_length)
        best = recommender.recommend(user, TOP)[columns.ITEM].to_list()
        item_id = best[int(rng.integers(len(best)))]
        explanation = explain(recommender, user, item_id)
        liked = np.unique(user.items[user.positive])
        picks: Mapping[str, Sequence[int]] = {
            EXPLAINED: [recommender.item_index[name] for name in explanation.named],
            SERVED: _served(recommender, user, item_id),
            RANDOM: rng.choice(liked, NAMED, replace=False).tolist(),
        }
        keep = np.stack([~np.isin(user.items, removed) for removed in picks.values()])
        found = leave_out.remove(recommender, user, keep, recommender.item_index[item_id])
        for name, score, rank in zip(picks, found.score, found.rank, strict=True):
            outcomes[name].append((explanation.score - score, rank - explanation.rank))
    return {
        name: Deletions(np.array([f for f, _ in rows]), np.array([p for _, p in rows]))
        for name, rows in outcomes.items()
    }


def _drawn(histories: Histories, pairs: int, rng: np.random.Generator) -> Sequence[np.int64]:
    liked = [
        len(np.unique(items[positive]))
        for items, positive in zip(
            np.split(histories.items, histories.indptr[1:-1]),
            np.split(histories.positive, histories.indptr[1:-1]),
            strict=True,
        )
    ]
    able = np.flatnonzero(np.array(liked) >= 2 * NAMED)
    if not len(able):
        raise DataError(
            f"None of {len(histories)} users likes {2 * NAMED} different items, so the named "
            f"{NAMED} cannot be compared with others. Give histories of more active users."
        )
    return list(rng.permutation(able)[:pairs])


def _served(recommender: Recommender, user: Histories, item_id: str) -> list[int]:
    """Catalogue indices of the reasons that the served graph gives."""
    batch = recommender.inputs(user)
    with torch.inference_mode():
        items, _, reasons, _ = recommender.module(
            *map(
                torch.from_numpy,
                (batch.history, batch.history_age, batch.history_kind, batch.profile),
            ),
            torch.zeros((1, 1), dtype=torch.int64),
            torch.zeros((1, 1), dtype=torch.int64),
            torch.tensor([[TOP]]),
        )
    place = items[0].tolist().index(recommender.item_index[item_id] + 1)
    return [int(user.items[position - 1]) for position in reasons[0, place].tolist() if position]
