"""From scores to top-k lists: chunked, seen items excluded, ties broken reproducibly."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from counterpoint.errors import QualityError
from counterpoint.histories import Histories, Scorer
from counterpoint.metrics import EMPTY

MAX_SCORES = 4_000_000
"""Scores held at once; bounds memory at about 100 MB with the sort keys."""


def score_chunks(
    scorer: Scorer, histories: Histories, *, n_items: int
) -> Iterator[tuple[npt.NDArray[np.int64], Histories, npt.NDArray[np.float32]]]:
    """Yield (user indices, their histories, their scores) with the scores of seen items at -inf.

    Raises:
        QualityError: The scorer returns another shape or NaN.
    """
    step = max(1, MAX_SCORES // n_items)
    for start in range(0, len(histories), step):
        users = np.arange(start, min(start + step, len(histories)))
        chunk = histories.take(users)
        scores = np.array(scorer.score(chunk), dtype=np.float32)
        if scores.shape != (len(users), n_items):
            raise QualityError(
                f"{type(scorer).__name__} returned scores of shape {scores.shape}; expected "
                f"({len(users)}, {n_items}), one row a user and one column an item."
            )
        if np.isnan(scores).any():
            raise QualityError(
                f"{type(scorer).__name__} returned NaN for {int(np.isnan(scores).sum())} of "
                f"{scores.size} scores; every score must be a number. The training has diverged or "
                "its input holds NaN: train again with a smaller learning rate."
            )
        scores[chunk.owners, chunk.items] = -np.inf
        yield users, chunk, scores


def top_k(
    scores: npt.NDArray[np.float32], *, k: int, priority: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Return the (U, k) best columns of each row, best first, ``EMPTY`` in place of -inf.

    Args:
        scores: (U, N) without NaN.
        k: Length of the lists; places beyond N stay ``EMPTY``.
        priority: (N,) permutation; among equal scores the smaller priority comes first.
    """
    n_items = scores.shape[1]
    # A float's bits order like integers once those of negatives are flipped; with the priority in
    # the low half every key of a row is different, so any selection algorithm gives one result.
    bits = (scores + np.float32(0)).view(np.int32).astype(np.int64)
    keys = (np.where(bits < 0, bits ^ 0x7FFFFFFF, bits) << 32) + (n_items - priority)
    width = min(k, n_items)
    best = np.argpartition(keys, n_items - width, axis=1)[:, n_items - width :]
    order = np.argsort(-np.take_along_axis(keys, best, axis=1), axis=1)
    best = np.take_along_axis(best, order, axis=1)
    top = np.full((len(scores), k), EMPTY, dtype=np.int64)
    top[:, :width] = np.where(np.take_along_axis(scores, best, axis=1) == -np.inf, EMPTY, best)
    return top


def tie_priority(n_items: int, *, seed: int) -> npt.NDArray[np.int64]:
    """A seeded permutation: ids often correlate with popularity, so ties must not go by index."""
    return np.random.default_rng(seed).permutation(n_items)


def rank(
    scorer: Scorer,
    histories: Histories,
    *,
    n_items: int,
    k: int,
    seed: int,
    allowed: npt.NDArray[np.bool_] | None = None,
) -> npt.NDArray[np.int64]:
    """Return the (U, k) unseen items with the highest scores, best first.

    Args:
        scorer: Scores all N items.
        histories: (U,) users.
        n_items: N.
        k: Length of the lists.
        seed: Order among equal scores.
        allowed: (N,) items that may be recommended; none: all.
    """
    priority = tie_priority(n_items, seed=seed)
    chunks = []
    for _, _, scores in score_chunks(scorer, histories, n_items=n_items):
        if allowed is not None:
            scores[:, ~allowed] = -np.inf
        chunks.append(top_k(scores, k=k, priority=priority))
    return np.concatenate(chunks) if chunks else np.empty((0, k), dtype=np.int64)
