"""Users of similar taste who liked an item: a recommendation seen from the crowd.

The model keeps no vector of any user, so these users are no cause of a score; they are evidence
beside it. Similarity is the cosine of the liked items, each weighted by ``log(U / users who liked
it)``: an item everybody likes says little about taste. All matrices are sparse.
"""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from counterpoint.histories import Histories

POOL = 50
"""Nearest users among whom those who liked the item are counted."""


@dataclass(frozen=True)
class Neighbour:
    """A training user who liked the item.

    Attributes:
        user_id: Who.
        similarity: Cosine, in (0, 1].
        common: Number of items that both liked.
    """

    user_id: str
    similarity: float
    common: int


@dataclass(frozen=True)
class Neighbours:
    """What similar users did with an item.

    Attributes:
        nearest: The most similar users who liked it, most similar first.
        pool: Most similar users that were looked at, at most ``POOL``.
        liked: How many of them liked the item.
        expected: How many would have if they were any users: pool x share of all users who did.
    """

    nearest: list[Neighbour]
    pool: int
    liked: int
    expected: float


class UserIndex:
    """Training users by what they liked.

    Args:
        training: Histories of the training users.
        n_items: N.
    """

    def __init__(self, training: Histories, n_items: int) -> None:
        self._ids = training.user_ids
        self._liked = training.matrix(n_items, positive_only=True)
        fans = np.asarray(self._liked.sum(0)).ravel()
        self._weight = np.log(max(len(training), 1) / np.maximum(fans, 1.0)).astype(np.float32)
        weighted = self._liked @ sp.diags_array(self._weight)
        norm = np.sqrt(np.asarray(weighted.multiply(weighted).sum(1)).ravel())
        self._unit = sp.diags_array(1.0 / np.maximum(norm, 1e-12)) @ weighted
        self._by_item = self._liked.tocsc()

    def neighbours(self, user: Histories, item: int, *, show: int = 3) -> Neighbours:
        """Find the users nearest to one user; the user's own row, by id, is left out.

        Args:
            user: Exactly one user.
            item: Catalogue index; one the training users never met has no neighbours.
            show: Longest list of ``nearest``.
        """
        n_items = self._liked.shape[1]
        known = np.unique(user.items[user.positive])
        known = known[known < n_items]
        own = np.zeros(n_items, dtype=np.float32)
        own[known] = self._weight[known]
        similarity = self._unit @ own / max(float(np.linalg.norm(own)), 1e-12)
        similarity[[u == user.user_ids[0] for u in self._ids]] = 0.0
        near = np.argsort(-similarity, kind="stable")[:POOL]
        near = near[similarity[near] > 0]
        fans = self._by_item[:, [item]].indices if item < n_items else np.empty(0, dtype=np.int64)
        best = fans[np.argsort(-similarity[fans], kind="stable")][:show]
        return Neighbours(
            [
                Neighbour(self._ids[u], float(similarity[u]), int(self._liked[[u]][:, known].sum()))
                for u in best
                if similarity[u] > 0
            ],
            len(near),
            int(np.isin(near, fans).sum()),
            len(near) * len(fans) / max(len(self._ids), 1),
        )
