"""How well text vectors order items nobody has met: the quantity that training them is for.

Some items are withheld. A linear model of the other items scores these for each user
(score_columns.py); its scores are regressed on the items' features and read off at the withheld
ones, as the recommender does with new items (cold.py). Only the vectors differ between two looks.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from counterpoint.cold import item_features, ridge_map
from counterpoint.config.train import ColdConfig
from counterpoint.encoder import score_columns
from counterpoint.encoder.score_columns import ScoreColumns
from counterpoint.metrics import ndcg
from counterpoint.metrics._ranking import Ranking
from counterpoint.topk import tie_priority, top_k

K = 10


@dataclass(frozen=True)
class ColdProbe:
    """What stays the same between two looks.

    Attributes:
        known: (M,) items that the linear model scores.
        withheld: (W,) items that are ranked.
        evidence: (V, M) standardised scores of the users with a withheld positive.
        targets: (V, W) their withheld positives.
        attributes: N lists of tokens.
        vocabulary: Tokens that count.
        config: Ridge and weights of the regression.
        seed: Order of equal scores.
    """

    known: npt.NDArray[np.int64]
    withheld: npt.NDArray[np.int64]
    evidence: npt.NDArray[np.float32]
    targets: sp.csr_matrix
    attributes: list[list[str]]
    vocabulary: list[str]
    config: ColdConfig
    seed: int

    def look(self, text: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Return (V,) NDCG@10 of each user among the withheld items.

        Args:
            text: (N, D) unit vectors of all items.
        """
        rows = np.concatenate([self.known, self.withheld])
        features = item_features(
            text[rows], [self.attributes[row] for row in rows], self.vocabulary, self.config
        )
        n_known = len(self.known)
        weights = ridge_map(features[:n_known], np.ones(n_known, np.float32), self.config)
        scores = (self.evidence @ weights) @ features[n_known:].T
        top = top_k(
            scores.astype(np.float32),
            k=K,
            priority=tie_priority(len(self.withheld), seed=self.seed),
        )
        n_items = len(self.withheld)
        return ndcg.per_user(
            Ranking(
                top,
                self.targets,
                np.zeros(n_items, np.int64),
                0,
                sp.csr_matrix(np.zeros((n_items, 0), dtype=bool)),
            )
        )


def withhold(
    popularity: npt.NDArray[np.float32],
    described: npt.NDArray[np.bool_],
    *,
    share: float,
    seed: int,
) -> npt.NDArray[np.bool_]:
    """Draw the items that are kept out: (N,) bool, among those with a text and an interaction."""
    fit = np.flatnonzero((popularity > 0) & described)
    chosen = np.random.default_rng(seed).permutation(fit)[: round(share * len(fit))]
    out = np.zeros(len(popularity), dtype=np.bool_)
    out[chosen] = True
    return out


def build(
    columns: ScoreColumns,
    liked: sp.csr_matrix,
    withheld: npt.NDArray[np.bool_],
    attributes: list[list[str]],
    vocabulary: list[str],
    config: ColdConfig,
    *,
    seed: int,
) -> ColdProbe | None:
    """Gather what a look needs; none where there is too little to look at.

    Args:
        columns: Of the items that are not withheld.
        liked: (U, N) positives.
        withheld: (N,) items to rank.
        attributes: N lists of tokens.
        vocabulary: Tokens that count.
        config: Of the regression.
        seed: Of the users that are looked at, where there are many.
    """
    ranked = np.flatnonzero(withheld)
    targets = liked[:, ranked].tocsr()
    users = np.flatnonzero((np.diff(targets.indptr) > 0) & (np.diff(columns.liked.indptr) > 0))
    if len(users) < K or len(ranked) < 2:
        return None
    users = score_columns.some(users, seed=seed)
    return ColdProbe(
        columns.items,
        ranked,
        columns.of(users),
        (targets[users] > 0).tocsr(),
        attributes,
        vocabulary,
        config,
        seed,
    )
