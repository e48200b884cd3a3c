"""How well a trained model ranks items it has never met, given their text vectors.

As the protocol ``cold_items``: items are hidden, their events leave the histories, and they are
ranked among themselves; what a user liked of them are the targets. Nothing is trained again: of the
model only the regression on the features is fitted anew without the hidden items (cold.py), so
their scores are what ``Recommender.extend`` gives an item with the same features. Interactions on
hidden items did shape the scores of the others, for every encoder alike: the values compare
encoders and say nothing about the model.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import polars as pl
import torch

from counterpoint import columns
from counterpoint.cold import ColdExtension
from counterpoint.graph import RecommenderModule
from counterpoint.histories import Histories
from counterpoint.pools import ndcg
from counterpoint.recommender import Recommender


@dataclass(frozen=True)
class HiddenItems:
    """One share of the items, hidden.

    Attributes:
        items: (H,) catalogue indices.
        users: (U,) indices of the users who liked some of them and something else.
        tastes: (U, F + 2), see ``ColdExtension.taste``.
        liked: (U, H) bool.
        others: (H, F - T) what their features hold beside the text.
    """

    items: npt.NDArray[np.int64]
    users: npt.NDArray[np.int64]
    tastes: npt.NDArray[np.float32]
    liked: npt.NDArray[np.bool_]
    others: npt.NDArray[np.float32]

    def scores(self, vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return the (U, H) scores the items would get if they were added with these vectors.

        Args:
            vectors: (H, T) text vectors.
        """
        features = np.concatenate([vectors, self.others], axis=1)
        described = self.tastes[:, :-2] @ features.T + self.tastes[:, -2:-1]
        return np.where(features.any(axis=1), described, self.tastes[:, -1:])

    def ndcg(self, vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Return (U,) NDCG@10 among the hidden items."""
        scores = torch.from_numpy(self.scores(vectors))
        return ndcg(scores, torch.ones_like(scores, dtype=torch.bool), torch.from_numpy(self.liked))


def without(recommender: Recommender, hidden: npt.NDArray[np.int64]) -> Recommender:
    """Return the recommender with some items cold.

    Args:
        recommender: A trained model.
        hidden: Catalogue indices.
    """
    old, module = recommender.module.cold, recommender.module
    warm = old.warm.clone()
    warm[hidden[hidden < old.n_scored]] = False
    cold = ColdExtension(warm, _refit(old, warm), old.features, boost=old.boost)
    changed = RecommenderModule(
        module.tower, module.linear_parts, module.factors, module.prior, cold, module.weights
    )
    return replace(recommender, module=changed.eval())


def hide(
    recommender: Recommender,
    histories: Histories,
    hidden: npt.NDArray[np.int64],
    *,
    users: int,
    seed: int,
) -> HiddenItems:
    """Hide items and compute what their scores depend on.

    Args:
        recommender: A trained model.
        histories: All users with all they did.
        hidden: (H,) distinct catalogue indices.
        users: A sample of this many users is judged.
        seed: Of the sample.
    """
    n_items, n_users = recommender.n_items, len(histories)
    place = np.full(n_items, -1)
    place[hidden] = np.arange(len(hidden))
    gone = place[histories.items] >= 0
    liked = np.zeros((n_users, len(hidden)), dtype=bool)
    hits = gone & histories.positive
    liked[histories.owners[hits], place[histories.items[hits]]] = True
    stays = np.bincount(histories.owners[~gone], minlength=n_users)
    judged = np.flatnonzero(liked.any(axis=1) & (stays > 0))
    if len(judged) > users:
        drawn = np.random.default_rng(seed).choice(judged, users, replace=False)
        judged = np.sort(drawn)
    left = Histories(
        histories.user_ids,
        np.concatenate([[0], np.cumsum(stays)]).astype(np.int64),
        histories.items[~gone],
        histories.positive[~gone],
        histories.timestamps[~gone],
        histories.attributes,
    )
    features = recommender.module.cold.features.numpy()
    return HiddenItems(
        items=hidden,
        users=judged,
        tastes=without(recommender, hidden).tastes(left.take(judged)),
        liked=liked[judged],
        others=features[hidden, recommender.text_width :],
    )


def draw(
    recommender: Recommender,
    histories: Histories,
    described: npt.NDArray[np.bool_],
    *,
    most: int,
    folds: int,
    seed: int,
) -> list[npt.NDArray[np.int64]]:
    """Split items that have a text into folds, liked items first if there are too many.

    Args:
        recommender: A trained model.
        histories: All users.
        described: (N,) bool, items with a text.
        most: Items drawn at most.
        folds: Number of folds.
        seed: Of the draw.
    """
    liked = np.bincount(histories.items[histories.positive], minlength=recommender.n_items) > 0
    candidates = np.random.default_rng(seed).permutation(np.flatnonzero(described))
    ordered = candidates[np.argsort(~liked[candidates], kind="stable")][:most]
    return [np.sort(ordered[start::folds]) for start in range(folds) if len(ordered) > start]


def texts_of(recommender: Recommender, items: pl.DataFrame, texts: Sequence[str]) -> list[str]:
    """Return the text of each item of the model in index order; empty where there is none.

    Args:
        recommender: A trained model.
        items: Canonical items; of rows with one id the first counts.
        texts: Their texts.
    """
    found: dict[str, str] = {}
    for item, text in zip(items[columns.ITEM], texts, strict=True):
        found.setdefault(item, text)
    return [found.get(item, "") for item in recommender.item_ids]


def _refit(old: ColdExtension, warm: torch.Tensor) -> torch.Tensor:
    """Return W = Phi (Phi' Phi + r I)^-1 over fewer items, with the ridge r of the old W.

    The old W satisfies r W = Phi - W S with S = Phi' Phi, which is solved for r.
    """
    w = old.ridge_map.numpy().astype(np.float64)
    features = old.features[: old.n_scored].numpy().astype(np.float64)
    rows = w.any(axis=1)
    phi, w = features[rows], w[rows]
    size = float((w * w).sum())
    out = np.zeros(features.shape, dtype=np.float32)
    stays = rows & warm.numpy()
    if size and stays.any():
        ridge = float((w * (phi - w @ (phi.T @ phi))).sum()) / size
        left = features[stays]
        system = left.T @ left + max(ridge, 1e-6) * np.eye(features.shape[1])
        out[stays] = np.linalg.solve(system, left.T).T
    return torch.from_numpy(out)
