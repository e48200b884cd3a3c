"""Slices of users and items on which a mean may hide a loss."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from counterpoint.metrics import Ranking


@dataclass(frozen=True)
class Slice:
    """Part of an evaluation.

    Attributes:
        name: Such as ``short_history``.
        meaning: One line for the report.
        users: (U,) users that belong to it.
        items: (N,) items whose targets count; the lists stay those of the whole catalogue.
    """

    name: str
    meaning: str
    users: npt.NDArray[np.bool_]
    items: npt.NDArray[np.bool_]

    def cut(self, ranking: Ranking) -> tuple[npt.NDArray[np.int64], Ranking]:
        """Return the indices of the users with a target in the slice, and their ranking."""
        kept = sp.diags_array(self.items.astype(np.float32))
        targets = sp.csr_matrix(ranking.targets @ kept, dtype=bool)
        targets.eliminate_zeros()
        users = np.flatnonzero(self.users & (np.diff(targets.indptr) > 0))
        return users, Ranking(
            ranking.top[users],
            targets[users],
            ranking.popularity,
            ranking.n_train_users,
            ranking.attributes,
        )


def slices(
    *,
    liked_before: npt.NDArray[np.int64],
    trained_on: npt.NDArray[np.bool_],
    popularity: npt.NDArray[np.int64],
    short_history: int,
    head_share: float,
) -> list[Slice]:
    """Return the slices of one evaluation.

    Args:
        liked_before: (U,) positives in each user's history.
        trained_on: (U,) whether the user has events in the training data.
        popularity: (N,) training positives of each item.
        short_history: Positives from which a history is long.
        head_share: Share of the catalogue that is head.
    """
    every_user = np.ones(len(liked_before), dtype=bool)
    every_item = np.ones(len(popularity), dtype=bool)
    n_head = max(1, round(head_share * len(popularity)))
    threshold = np.sort(popularity)[-n_head]
    head = (popularity >= threshold) & (popularity > 0)
    tail = ~head & (popularity > 0)
    short = liked_before < short_history
    return [
        Slice("new_users", "users without events in the training data", ~trained_on, every_item),
        Slice("known_users", "users with events in the training data", trained_on, every_item),
        Slice("short_history", f"fewer than {short_history} positives before", short, every_item),
        Slice("long_history", f"at least {short_history} positives before", ~short, every_item),
        Slice("head_items", f"targets among the {head_share:.0%} most liked", every_user, head),
        Slice("tail_items", "targets liked by others, but not head", every_user, tail),
        Slice("cold_items", "targets nobody liked in training", every_user, popularity == 0),
    ]
