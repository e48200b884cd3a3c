"""One recommender on another's catalogue, so that two models are judged on the same candidates."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from counterpoint.histories import Histories, Scorer


@dataclass(frozen=True)
class OnCatalogue:
    """Scores a catalogue with a scorer that was fit on another one; items are matched by id.

    Attributes:
        scorer: Scores its own catalogue.
        own: Item ids of the scorer, in its index order.
        catalogue: Item ids of the wanted catalogue, in index order.
    """

    scorer: Scorer
    own: Sequence[str]
    catalogue: Sequence[str]

    def score(self, histories: Histories) -> npt.NDArray[np.float32]:
        """(U, N) scores; items that the scorer does not know get -inf: it cannot recommend them.

        Events on such items are left out of the histories it reads.
        """
        place = {item: index for index, item in enumerate(self.own)}
        to_own = np.array([place.get(item, -1) for item in self.catalogue], dtype=np.int64)
        items = to_own[histories.items]
        keep = items >= 0
        kept = np.concatenate([[0], np.cumsum(keep)])
        translated = Histories(
            histories.user_ids,
            kept[histories.indptr],
            items[keep],
            histories.positive[keep],
            histories.timestamps[keep],
            histories.attributes,
        )
        own_scores = self.scorer.score(translated)
        scores = np.full((len(histories), len(self.catalogue)), -np.inf, dtype=np.float32)
        known = to_own >= 0
        scores[:, known] = own_scores[:, to_own[known]]
        return scores


def on_catalogue(scorer: Scorer, own: Sequence[str], catalogue: Sequence[str]) -> Scorer:
    """Return the scorer itself if the catalogues are equal, else wrapped."""
    return scorer if list(own) == list(catalogue) else OnCatalogue(scorer, own, catalogue)
