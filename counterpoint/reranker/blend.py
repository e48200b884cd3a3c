"""Re-ranking: the judgement beside the recommender's score, with a weight chosen on validation."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch

from counterpoint.histories import Histories, Scorer
from counterpoint.metrics import EMPTY, Ranking, ndcg
from counterpoint.recommender import Recommender, SecondLook
from counterpoint.reranker import batches
from counterpoint.reranker.model import Judge, Reranker, find
from counterpoint.significance import nearest_of_best
from counterpoint.topk import score_chunks, tie_priority, top_k

AT_ONCE = 64
K = 10


@dataclass(frozen=True)
class Candidates:
    """The best unseen items of some users, best first.

    Attributes:
        item: (U, D) catalogue indices, ``EMPTY`` where there are fewer.
        score: (U, D) of the recommender.
        logit: (U, D) of the re-ranker.
    """

    item: npt.NDArray[np.int64]
    score: npt.NDArray[np.float32]
    logit: npt.NDArray[np.float32]

    def order(self, weight: float) -> npt.NDArray[np.int64]:
        """Return the (U, D) items in the order of the blended utility."""
        there = self.item != EMPTY
        utility = _standardised(self.score, there) + weight * _standardised(self.logit, there)
        utility = np.where(there, utility, -np.inf)
        places = np.argsort(-utility, axis=1, kind="stable")
        return np.take_along_axis(self.item, places, axis=1)


def candidates(
    reranker: Reranker, scorer: Scorer, histories: Histories, n_items: int
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.float32], Candidates]]:
    """Yield user indices, their (B, N) scores without what they have seen, and their candidates."""
    judge = reranker.judge()
    for users, chunk, scores in score_chunks(scorer, histories, n_items=n_items):
        yield users, scores, best_of(judge, reranker, chunk, scores)


def best_of(
    judge: Judge, reranker: Reranker, histories: Histories, scores: npt.NDArray[np.float32]
) -> Candidates:
    """Return the best items of users by their (U, N) scores; what is barred has -inf."""
    n_items = scores.shape[1]
    priority = tie_priority(n_items, seed=0)
    item = top_k(scores, k=min(reranker.settings.depth, n_items), priority=priority)
    score = np.take_along_axis(scores, np.maximum(item, 0), axis=1)
    score = np.where(item == EMPTY, 0.0, score).astype(np.float32)
    return Candidates(item, score, judged(judge, histories, item, score, reranker.settings.events))


def reordered(
    scores: npt.NDArray[np.float32], found: Candidates, weight: float
) -> npt.NDArray[np.float32]:
    """Give the best items the same scores in the new order; (U, N) scores are changed in place."""
    order = found.order(weight)
    filled = order != EMPTY
    row = np.broadcast_to(np.arange(len(scores))[:, None], order.shape)[filled]
    scores[row, order[filled]] = found.score[filled]
    return scores


def judged(
    judge: Judge,
    histories: Histories,
    item: npt.NDArray[np.int64],
    score: npt.NDArray[np.float32],
    events: int,
) -> npt.NDArray[np.float32]:
    """Return (U, D) logits of candidates."""
    out = np.zeros(score.shape, dtype=np.float32)
    rows = np.arange(len(histories))
    with torch.inference_mode():
        for part in np.split(rows, range(AT_ONCE, len(rows), AT_ONCE)):
            history, kind = batches.histories(histories.take(part), events)
            logit, _ = judge(
                history, kind, torch.from_numpy(item[part] + 1), torch.from_numpy(score[part])
            )
            out[part] = logit.numpy()
    return out


@dataclass(frozen=True)
class Reranked:
    """A recommender whose best items are re-ranked; satisfies ``histories.Scorer``.

    Attributes:
        recommender: Scores all items.
        reranker: Its weight and depth count.
    """

    recommender: Recommender
    reranker: Reranker

    @property
    def item_ids(self) -> list[str]:
        """The N item ids in index order."""
        return self.recommender.item_ids

    def score(self, histories: Histories) -> npt.NDArray[np.float32]:
        """Return (U, N) scores: the candidates' in the new order, the others' below them."""
        n_items, weight = self.recommender.n_items, self.reranker.settings.weight
        out = np.empty((len(histories), n_items), dtype=np.float32)
        for users, scores, found in candidates(self.reranker, self.recommender, histories, n_items):
            out[users] = reordered(scores, found, weight)
        return out


def second_look(model: Path, recommender: Recommender) -> SecondLook | None:
    """Return what reorders the scores of users, if the model folder's re-ranker has a weight.

    Args:
        model: The folder.
        recommender: Read from it; may have been extended.

    Raises:
        DataError: The re-ranker is damaged or of another model.
    """
    reranker = _used(model, recommender)
    if reranker is None:
        return None
    judge, weight = reranker.judge(), reranker.settings.weight

    def look(histories: Histories, scores: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return reordered(scores, best_of(judge, reranker, histories, scores), weight)

    return look


def served(model: Path, recommender: Recommender) -> Recommender | Reranked:
    """Return what a model folder's version serves: re-ranked, if its re-ranker has a weight.

    Args:
        model: The folder.
        recommender: Read from it; may have been extended.

    Raises:
        DataError: The re-ranker is damaged or of another model.
    """
    reranker = _used(model, recommender)
    return recommender if reranker is None else Reranked(recommender, reranker)


def _used(model: Path, recommender: Recommender) -> Reranker | None:
    """Return the folder's re-ranker, if it has a weight."""
    reranker = find(model, recommender)
    return reranker if reranker is not None and reranker.settings.weight else None


def choose_weight(
    reranker: Reranker,
    scorer: Scorer,
    histories: Histories,
    targets: sp.csr_matrix,
    weights: Sequence[float],
) -> tuple[float, dict[float, npt.NDArray[np.float64]]]:
    """Choose the weight by NDCG@10; 0 unless another is clearly better (significance.py).

    Args:
        reranker: Its own weight does not count.
        scorer: A recommender that has not learnt from the targets.
        histories: U users.
        targets: (U, N) what they then liked.
        weights: To try; 0 always is.

    Returns:
        The weight, and NDCG@10 per user of each.
    """
    tried = sorted({0.0, *weights})
    found: dict[float, list[npt.NDArray[np.float64]]] = {weight: [] for weight in tried}
    n_items = targets.shape[1]
    for users, _, near in candidates(reranker, scorer, histories, n_items):
        for weight in tried:
            found[weight].append(ndcg_of(near.order(weight), targets[users]))
    values = {weight: np.concatenate(parts) for weight, parts in found.items()}
    return nearest_of_best(values, abs), values


def ndcg_of(
    order: npt.NDArray[np.int64], targets: sp.csr_matrix, k: int = K
) -> npt.NDArray[np.float64]:
    """Return NDCG@k per user of lists in this order."""
    n_items = targets.shape[1]
    nothing = sp.csr_matrix(np.zeros((n_items, 0), dtype=np.float32))
    top = order[:, :k]
    if top.shape[1] < k:
        top = np.pad(top, ((0, 0), (0, k - top.shape[1])), constant_values=EMPTY)
    return ndcg.per_user(Ranking(top, targets, np.zeros(n_items, dtype=np.int64), 0, nothing))


def _standardised(
    values: npt.NDArray[np.float32], there: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64]:
    """Return (U, D) values in standard deviations from the mean of the row."""
    one = there.astype(np.float64)
    count = np.maximum(one.sum(1, keepdims=True), 1.0)
    mean = (values * one).sum(1, keepdims=True) / count
    spread = np.sqrt((np.square(values - mean) * one).sum(1, keepdims=True) / count)
    return np.asarray((values - mean) / np.maximum(spread, 1e-6) * one, dtype=np.float64)
