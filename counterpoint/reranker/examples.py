"""Pairs of a history and a candidate, with what came of it; a history is only what went before."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl
import scipy.sparse as sp

from counterpoint import columns, splits
from counterpoint.config.reranker import RerankerConfig
from counterpoint.histories import Histories, Scorer, from_events
from counterpoint.reranker.statistics import ItemStatistics, Units
from counterpoint.topk import score_chunks, tie_priority, top_k

NONE = -1
"""In place of an item: no candidate."""

FAR = 4.0
"""Standardised retrieval scores are cut here: items far down the list differ in nothing else."""

TRIES = 8
"""Draws for each negative wanted; users who know almost everything get fewer."""


@dataclass(frozen=True)
class Examples:
    """G events, each with its C candidates: the item of the event, then what was drawn.

    Attributes:
        histories: G histories; a user may occur several times.
        items: (G, C) catalogue indices, ``NONE`` where there is no candidate.
        click: (G, C) float32: 1 liked, 0 not; NaN: no candidate.
        rating: (G, C) float32 value of the event; NaN: none.
        statistics: (G, C, 3) of the candidates at the time of the event (statistics.py).
        retrieval: (G, C) float32 the recommender's scores, standardised over its best items.
        leniency: (G,) float32, see ``ItemStatistics.leniency``.
    """

    histories: Histories
    items: npt.NDArray[np.int64]
    click: npt.NDArray[np.float32]
    rating: npt.NDArray[np.float32]
    statistics: npt.NDArray[np.float32]
    retrieval: npt.NDArray[np.float32]
    leniency: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.items)

    def take(self, rows: npt.NDArray[np.int64]) -> "Examples":
        """Return these events, in their order."""
        return Examples(
            self.histories.take(rows),
            self.items[rows],
            self.click[rows],
            self.rating[rows],
            self.statistics[rows],
            self.retrieval[rows],
            self.leniency[rows],
        )


@dataclass(frozen=True)
class _Events:
    """G events to learn from: their histories and what happened."""

    histories: Histories
    item: npt.NDArray[np.int64]
    positive: npt.NDArray[np.bool_]
    value: npt.NDArray[np.float32]
    time: npt.NDArray[np.int64] | None
    barred: sp.csr_matrix
    """(G, N) items that are no negatives: everything the user had to do with."""


def of_training(
    interactions: pl.DataFrame,
    index: dict[str, int],
    profiles: dict[str, Sequence[str]],
    scorer: Scorer,
    config: RerankerConfig,
    *,
    length: int,
    seed: int,
) -> Examples:
    """Draw events of the train fold, each with what the user had done before it.

    Args:
        interactions: Ordered interactions with ``fold``.
        index: item id -> catalogue index.
        profiles: user id -> attribute tokens.
        scorer: Must not have learnt from the users' events (crossfit.py).
        config: How many, and the negatives.
        length: Newest events of a history that are kept.
        seed: Of the draws.
    """
    events = splits.fit_events(interactions, "choose")
    users = events[columns.USER].unique().sort().to_list()
    whole = from_events(events, index, user_ids=users, attributes=profiles)
    value = _values(events, index, users)
    first = _first_of_item(whole)
    place = np.arange(len(whole.items)) - whole.indptr[whole.owners]
    usable = np.flatnonzero(first & (place > 0))
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.choice(usable, min(len(usable), config.max_examples), replace=False))
    owners = whole.owners[rows]
    statistics = ItemStatistics(events, index, _units(interactions))
    matrix = whole.matrix(len(index), positive_only=False).astype(bool)
    drawn = _Events(
        before(whole, rows, length),
        whole.items[rows],
        whole.positive[rows],
        value[rows],
        whole.timestamps[rows],
        matrix[owners],
    )
    return _with_candidates(drawn, statistics, scorer, config, rng)


def of_fold(
    interactions: pl.DataFrame,
    fold: splits.Fold,
    index: dict[str, int],
    profiles: dict[str, Sequence[str]],
    scorer: Scorer,
    config: RerankerConfig,
    *,
    length: int,
    most: int | None,
    seed: int,
) -> Examples:
    """Return the events of a fold, each with what the user had done before the fold.

    Args:
        interactions: Ordered interactions with ``fold``.
        fold: ``valid`` or ``test``.
        index: item id -> catalogue index.
        profiles: user id -> attribute tokens.
        scorer: Must not have learnt from the fold.
        config: The negatives.
        length: Newest events of a history that are kept.
        most: At most this many, drawn at random; None: all.
        seed: Of the draws.
    """
    known = pl.col(columns.ITEM).is_in(list(index))
    names = pl.col(columns.FOLD)
    earlier = interactions.filter(names.is_in(splits.HISTORY_FOLDS[fold]) & known)
    later = (
        interactions.filter((names == f"{fold}_target") & known)
        .unique([columns.USER, columns.ITEM], keep="first", maintain_order=True)
        .join(earlier, on=[columns.USER, columns.ITEM], how="anti", maintain_order="left")
        .sort(columns.USER, columns.TIMESTAMP)
    )
    rng = np.random.default_rng(seed)
    if most is not None and len(later) > most:
        chosen = np.sort(rng.choice(len(later), most, replace=False))
        kept = later[chosen.tolist()]
    else:
        kept = later
    users = kept[columns.USER].unique().sort()
    row = users.search_sorted(kept[columns.USER]).to_numpy().astype(np.int64)
    histories = from_events(earlier, index, user_ids=users.to_list(), attributes=profiles)
    targets = from_events(later, index, user_ids=users.to_list())
    barred = histories.matrix(len(index), positive_only=False) + targets.matrix(
        len(index), positive_only=False
    )
    fit: splits.Fit = "choose" if fold == "valid" else "final"
    events = splits.fit_events(interactions, fit)
    drawn = _Events(
        shortened(histories, length).take(row),
        np.array([index[item] for item in kept[columns.ITEM]], dtype=np.int64),
        kept[columns.POSITIVE].to_numpy().astype(bool),
        kept[columns.VALUE].cast(pl.Float32).to_numpy(),
        None,
        barred.astype(bool)[row],
    )
    statistics = ItemStatistics(events, index, _units(interactions))
    return _with_candidates(drawn, statistics, scorer, config, rng)


def before(whole: Histories, rows: npt.NDArray[np.int64], length: int) -> Histories:
    """Return one history for each of these events: the events of the same user that precede it.

    Args:
        whole: Everything.
        rows: (G,) places of events in ``whole``.
        length: Newest events that are kept.
    """
    owners = whole.owners[rows]
    start = np.maximum(whole.indptr[owners], rows - length)
    lengths = rows - start
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    source = np.repeat(start - indptr[:-1], lengths) + np.arange(indptr[-1])
    return Histories(
        [whole.user_ids[owner] for owner in owners],
        indptr,
        whole.items[source],
        whole.positive[source],
        whole.timestamps[source],
        [whole.attributes[owner] for owner in owners],
    )


def standardised(
    scores: npt.NDArray[np.float32], best: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    """Return (G, N) scores in standard deviations from the mean of the best items, cut at ``FAR``.

    Args:
        scores: (G, N) with seen items at -inf.
        best: (G, K) places of the best; negative: none.
    """
    found = np.take_along_axis(scores, np.maximum(best, 0), axis=1)
    found = np.where((best >= 0) & np.isfinite(found), found, np.nan)
    with np.errstate(all="ignore"):
        mean = np.nan_to_num(np.nanmean(found, axis=1, keepdims=True))
        spread = np.nan_to_num(np.nanstd(found, axis=1, keepdims=True))
    scaled = (scores - mean) / np.maximum(spread, 1e-6)
    return np.clip(scaled, -FAR, FAR).astype(np.float32)


def _with_candidates(
    events: _Events,
    statistics: ItemStatistics,
    scorer: Scorer,
    config: RerankerConfig,
    rng: np.random.Generator,
) -> Examples:
    size, n_items = len(events.item), events.barred.shape[1]
    wanted = config.negatives
    width = 1 + wanted.popular + wanted.retrieved
    items = np.full((size, width), NONE, dtype=np.int64)
    items[:, 0] = events.item
    retrieval = np.zeros((size, width), dtype=np.float32)
    mass = np.power(statistics.positives() + 1.0, wanted.power)
    total = np.cumsum(mass / mass.sum())
    priority = tie_priority(n_items, seed=0)
    for rows, _, scores in score_chunks(scorer, events.histories, n_items=n_items):
        best = top_k(scores, k=min(config.depth, n_items), priority=priority)
        scaled = standardised(scores, best)
        for place, row in enumerate(rows):
            if events.positive[row]:
                barred = np.zeros(n_items, dtype=bool)
                span = slice(events.barred.indptr[row], events.barred.indptr[row + 1])
                barred[events.barred.indices[span]] = True
                own = best[place][best[place] >= 0]
                own = rng.permutation(own[~barred[own]])[: wanted.retrieved]
                barred[own] = True
                missing = width - 1 - len(own)
                common = np.searchsorted(total, rng.random(TRIES * missing))
                common = common[common < n_items]
                _, once = np.unique(common, return_index=True)
                common = common[np.sort(once)]
                common = common[~barred[common]][:missing]
                drawn = np.concatenate([own, common])
                items[row, 1 : 1 + len(drawn)] = drawn
            retrieval[row] = scaled[place, np.maximum(items[row], 0)]
    there = items != NONE
    click = np.where(there, 0.0, np.nan).astype(np.float32)
    click[:, 0] = events.positive
    rating = np.full((size, width), np.nan, dtype=np.float32)
    rating[:, 0] = events.value
    time = None if events.time is None else np.repeat(events.time[:, None], width, axis=1)
    return Examples(
        events.histories,
        items,
        click,
        rating,
        statistics.at(np.maximum(items, 0), time),
        np.where(there, retrieval, 0.0).astype(np.float32),
        statistics.leniency(shortened(events.histories, config.student.events), events.time),
    )


def _units(interactions: pl.DataFrame) -> Units:
    return Units.of(splits.fit_events(interactions, "choose"))


def _values(
    events: pl.DataFrame, index: dict[str, int], users: Sequence[str]
) -> npt.NDArray[np.float32]:
    """(E,) values in the order of ``from_events``."""
    place = {user: row for row, user in enumerate(users)}
    known = events.filter(pl.col(columns.ITEM).is_in(list(index)))
    owner = np.array([place[user] for user in known[columns.USER]], dtype=np.int64)
    order = np.lexsort((known[columns.TIMESTAMP].dt.epoch("us").to_numpy(), owner))
    return known[columns.VALUE].cast(pl.Float32).to_numpy()[order]


def _first_of_item(whole: Histories) -> npt.NDArray[np.bool_]:
    """(E,) whether the user met the item for the first time: seen items are no candidates."""
    n_items = int(whole.items.max(initial=-1)) + 1
    _, first = np.unique(whole.owners * n_items + whole.items, return_index=True)
    out = np.zeros(len(whole.items), dtype=bool)
    out[first] = True
    return out


def shortened(histories: Histories, length: int) -> Histories:
    """Return the newest events of each history."""
    ends = histories.indptr[1:]
    start = np.maximum(histories.indptr[:-1], ends - length)
    lengths = ends - start
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    source = np.repeat(start - indptr[:-1], lengths) + np.arange(indptr[-1])
    return Histories(
        histories.user_ids,
        indptr,
        histories.items[source],
        histories.positive[source],
        histories.timestamps[source],
        histories.attributes,
    )
