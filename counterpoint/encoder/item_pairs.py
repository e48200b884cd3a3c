"""Pairs of items that count as alike, drawn from what the same user liked."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from counterpoint.config.encoder import PairsConfig
from counterpoint.histories import Histories

Index = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Pairs:
    """A batch.

    Attributes:
        anchor: (P,) items.
        positive: (P,) items that the same user liked.
        user: (P,) rows of the users.
    """

    anchor: Index
    positive: Index
    user: Index

    def __len__(self) -> int:
        return len(self.anchor)


class PairSampler:
    """Draws pairs: users uniformly, then two of their positives.

    Args:
        histories: What may be learned from.
        allowed: (N,) bool, items that may occur: they have a text and are not withheld.
        config: Shares of the sources.
    """

    def __init__(
        self, histories: Histories, allowed: npt.NDArray[np.bool_], config: PairsConfig
    ) -> None:
        inside = histories.positive & allowed[histories.items]
        owner = histories.owners[inside]
        items = histories.items[inside]
        count = np.bincount(owner, minlength=len(histories))
        newest = np.arange(len(items)) >= np.repeat(np.cumsum(count) - config.max_positives, count)
        items, owner = items[newest], owner[newest]
        count = np.bincount(owner, minlength=len(histories))
        keep = np.repeat(count > 1, count)
        self.items = items[keep].astype(np.int64)
        self.users = np.flatnonzero(count > 1)
        self.indptr = np.concatenate([[0], np.cumsum(count[self.users])])
        self._config = config
        self._n_items = len(allowed)

    def __len__(self) -> int:
        return len(self.users)

    def draw(self, count: int, random: np.random.Generator) -> Pairs:
        """Return pairs of different items.

        A user whose draw hits the same item twice is drawn again; one who liked a single item over
        and over again is left out after a few attempts, so fewer pairs may come back.
        """
        found: list[Pairs] = []
        missing = count
        for _ in range(8):
            drawn = self._draw(missing, random)
            fit = drawn.anchor != drawn.positive
            found.append(Pairs(drawn.anchor[fit], drawn.positive[fit], drawn.user[fit]))
            missing -= int(fit.sum())
            if not missing:
                break
        return Pairs(
            *(
                np.concatenate([getattr(part, name) for part in found])
                for name in ("anchor", "positive", "user")
            )
        )

    def probability(self) -> npt.NDArray[np.float64]:
        """(N,) probability that one side of a pair is the item: what logQ corrects for."""
        lengths = np.diff(self.indptr)
        weight = np.repeat(1.0 / (lengths * max(1, len(lengths))), lengths)
        share = np.bincount(self.items, weights=weight, minlength=self._n_items)
        return share.astype(np.float64)

    def positives(self, user: int) -> Index:
        """Return the positives of the user in a row of ``Pairs.user``."""
        return self.items[self.indptr[user] : self.indptr[user + 1]]

    def _draw(self, count: int, random: np.random.Generator) -> Pairs:
        config = self._config
        weights = np.array([config.next_item, config.session, config.co_interaction])
        source = random.choice(3, size=count, p=weights / weights.sum())
        user = random.integers(len(self.users), size=count)
        length = np.diff(self.indptr)[user]
        first = random.integers(length)
        # Another place of the user, at most the reach of the source away, on either side.
        reach = np.array([1, config.session_items, np.iinfo(np.int32).max])[source]
        low, high = np.maximum(0, first - reach), np.minimum(length - 1, first + reach)
        second = low + random.integers(high - low)
        second += second >= first
        start = self.indptr[:-1][user]
        return Pairs(self.items[start + first], self.items[start + second], user.astype(np.int64))
