"""How well scores tell liked from not interacted: ROC curve, AUC, confusion matrix.

To each target, an item is drawn that the same user neither saw nor liked. Scores are
standardised per user before they are pooled, since rankers are not calibrated across users.
Ranking metrics decide; this is the view that a classifier's reader expects.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from counterpoint.histories import Histories, Scorer
from counterpoint.topk import score_chunks

MAX_POINTS = 50
MAX_USERS = 5000
"""A random sample of this many users is enough for a stable curve."""

CATEGORIES = ("not interacted", "liked")


@dataclass(frozen=True)
class Classification:
    """The curve (at most ``MAX_POINTS`` points) and the decision at its best threshold.

    Attributes:
        fpr: False positive rates, ascending from 0 to 1.
        tpr: True positive rates.
        thresholds: Standardised scores, descending and finite.
        auc: Area under the full curve.
        threshold: The one with the largest tpr - fpr (Youden's J); chosen on the same pairs, so
            what follows is slightly flattered.
        confusion: Rows are truth, columns are decision, in the order of ``CATEGORIES``.
        accuracy: Share of right decisions.
    """

    fpr: list[float]
    tpr: list[float]
    thresholds: list[float]
    auc: float
    threshold: float
    confusion: list[list[int]]
    accuracy: float


def sample_pairs(
    scorer: Scorer, histories: Histories, targets: sp.csr_matrix, *, seed: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Return standardised scores and labels of all targets and of as many drawn negatives.

    Of more than ``MAX_USERS`` users, a sample is taken.
    """
    rng = np.random.default_rng(seed)
    if len(histories) > MAX_USERS:
        chosen = np.sort(rng.choice(len(histories), size=MAX_USERS, replace=False))
        histories, targets = histories.take(chosen), targets[chosen]
    n_items = targets.shape[1]
    values, labels = [], []
    for users, _, scores in score_chunks(scorer, histories, n_items=n_items):
        liked = targets[users].toarray()
        for row in range(len(users)):
            # Items that the scorer cannot score are its lowest, not absent.
            known = np.isfinite(scores[row])
            if not known.any():
                continue
            candidates = scores[row].astype(np.float64)
            spread = candidates[known].std() or 1.0
            z = (candidates - candidates[known].mean()) / spread
            lowest = z[known].min()
            positive = z[liked[row]]
            negative = np.flatnonzero(known & ~liked[row])
            drawn = rng.choice(negative, size=min(len(positive), len(negative)), replace=False)
            values += [np.where(np.isfinite(positive), positive, lowest), z[drawn]]
            labels += [np.ones(len(positive), dtype=bool), np.zeros(len(drawn), dtype=bool)]
    return (
        np.concatenate(values) if values else np.empty(0),
        np.concatenate(labels) if labels else np.empty(0, dtype=bool),
    )


def classify(
    values: npt.NDArray[np.float64], labels: npt.NDArray[np.bool_]
) -> Classification | None:
    """Return the curve and the best decision; None if a class is absent."""
    # Imported here: images without scikit-learn read Classification to publish it.

    # Not installed in every step's image, while the result's type is read in all of them.
    from sklearn.metrics import roc_auc_score, roc_curve

    if not labels.any() or labels.all():
        return None
    fpr, tpr, thresholds = roc_curve(labels, values)
    # scikit-learn starts the curve at an infinite threshold, which JSON cannot hold.
    thresholds[0] = values.max() + 1.0
    best = float(thresholds[np.argmax(tpr - fpr)])
    decided = values >= best
    confusion = [[int(((labels == t) & (decided == d)).sum()) for d in (0, 1)] for t in (0, 1)]
    points = np.unique(np.linspace(0, len(fpr) - 1, MAX_POINTS).round().astype(int))
    return Classification(
        fpr[points].tolist(),
        tpr[points].tolist(),
        thresholds[points].tolist(),
        float(roc_auc_score(labels, values)),
        best,
        confusion,
        float((decided == labels).mean()),
    )
