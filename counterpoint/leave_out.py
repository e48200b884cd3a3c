"""Scores of one item when a part of what is known of a user is left out.

Two ways. ``occlude`` hides events from the scorers but leaves them seen: everything else, the items
that scores are standardised over included, stays as it is, so the difference is due to the event
alone. ``remove`` makes them never have happened, which is how an explanation is put to the test.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from counterpoint.graph import OTHER_KIND, POSITIVE_KIND
from counterpoint.histories import Histories
from counterpoint.prior import multi_hot
from counterpoint.recommender import MAX_PAIRS, MAX_SCORES, Recommender

HIDDEN_KIND = 0
"""Kind of padding: such an event is excluded from the lists, and no scorer reads it."""


@dataclass(frozen=True)
class Outcome:
    """What became of the item in each of V variants of the user.

    Attributes:
        score: (V,) its score.
        rank: (V,) its place among the items the whole user has not met, from 1.
    """

    score: npt.NDArray[np.float64]
    rank: npt.NDArray[np.int64]


def occlude(
    recommender: Recommender,
    user: Histories,
    keep: npt.NDArray[np.bool_],
    attributes: Sequence[Sequence[str]],
    item: int,
) -> Outcome:
    """Score an item with some events hidden.

    Args:
        recommender: The model.
        user: One user with L events, at most as many as the model reads.
        keep: (V, L) events that the scorers read.
        attributes: V lists of the user's tokens.
        item: Catalogue index of an item the user has not met.
    """
    positive = keep & user.positive
    later = positive.sum(1, keepdims=True) - np.cumsum(positive, axis=1)
    shown = np.where(user.positive, POSITIVE_KIND, OTHER_KIND)
    kind = np.where(keep, shown, HIDDEN_KIND).astype(np.int64)
    profile = multi_hot(attributes, recommender.settings.profile)
    width = max(keep.shape[1], 1)  # the graph wants a column even of an empty history

    def scores() -> Iterator[npt.NDArray[np.float32]]:
        for rows in _chunks(len(keep), recommender.n_items, width):
            history = np.zeros((len(rows), width), dtype=np.int64)
            history[:, : len(user.items)] = user.items + 1
            tensors = (
                history,
                _wide(later[rows].astype(np.float32), width),
                _wide(kind[rows], width),
                profile[rows],
            )
            with torch.inference_mode():
                yield recommender.module.scores(*map(torch.from_numpy, tensors)).numpy()

    return _outcome(scores(), user, item)


def remove(
    recommender: Recommender, user: Histories, keep: npt.NDArray[np.bool_], item: int
) -> Outcome:
    """Score an item as if the other events had never happened.

    Args:
        recommender: The model.
        user: One user with L events.
        keep: (V, L) events that stay.
        item: Catalogue index of an item the user has not met.
    """
    copies = variants(user, keep)
    chunks = _chunks(len(keep), recommender.n_items, keep.shape[1])
    return _outcome((recommender.score(copies.take(rows)) for rows in chunks), user, item)


def variants(user: Histories, keep: npt.NDArray[np.bool_]) -> Histories:
    """Return V copies of one user, each with only the kept events.

    Args:
        user: One user with L events.
        keep: (V, L).
    """
    _, event = np.nonzero(keep)
    return Histories(
        [user.user_ids[0]] * len(keep),
        np.concatenate([[0], np.cumsum(keep.sum(1))]).astype(np.int64),
        user.items[event],
        user.positive[event],
        user.timestamps[event],
        [user.attributes[0]] * len(keep),
    )


def _outcome(scores: Iterator[npt.NDArray[np.float32]], user: Histories, item: int) -> Outcome:
    score, rank = [], []
    for chunk in scores:
        own = chunk[:, item]
        better = chunk > own[:, None]
        better[:, user.items] = False
        score.append(own.astype(np.float64))
        rank.append(1 + better.sum(1))
    return Outcome(np.concatenate(score), np.concatenate(rank))


def _chunks(rows: int, n_items: int, width: int) -> Iterator[npt.NDArray[np.int64]]:
    size = max(1, min(MAX_SCORES // n_items, MAX_PAIRS // (width + 1) ** 2))
    for start in range(0, rows, size):
        yield np.arange(start, min(start + size, rows))


def _wide(values: npt.NDArray, width: int) -> npt.NDArray:
    return np.pad(values, ((0, 0), (0, width - values.shape[1])))
