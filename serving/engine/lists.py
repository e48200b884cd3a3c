"""From the graph's best items to the answer: live items merged, rules applied, names looked up."""

import json
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from serving.engine.answer import REASONS, Answer
from serving.engine.catalogue import Catalogue
from serving.engine.judge import Reranker
from serving.engine.question import Best, Question
from serving.observe.observer import UNTIMED, StopWatch
from serving.query import Query
from serving.rules._rule import Candidates, Indices, Judge, Numbers, Row, Rule, Trace


def run_rules(
    candidates: Candidates,
    query: Query,
    *,
    catalogue: Catalogue,
    liked: Indices,
    seen: Indices,
    later: Mapping[str, Rule] | None = None,
    judge: Judge | None = None,
) -> tuple[Candidates, list[Trace]]:
    """Apply the rules that are no filters.

    Args:
        candidates: Best first.
        query: What was asked.
        catalogue: The items.
        liked: One-based items of the history that were liked.
        seen: One-based items of the history.
        later: Rules to apply; none: those of the query.
        judge: The version's re-ranker for this history.

    Returns:
        The candidates and what each rule did.
    """
    trace: list[Trace] = []
    later = query.rules.later if later is None else later
    if later:
        row = Row(
            k=query.k,
            trace_id=query.trace_id,
            liked=liked,
            seen=seen,
            catalogue=catalogue,
            spread=float(candidates.score.std()) if len(candidates) else 0.0,
            judge=judge,
        )
        for name, rule in later.items():
            candidates, done = rule.rerank(candidates, row)
            trace.append({"rule": name, **done})
    return candidates, trace


def propensities(candidates: Candidates, k: int) -> npt.NDArray[np.float32]:
    """Return the probabilities of the first k items, -1 where nothing was drawn."""
    if candidates.propensity is None:
        return np.full(min(k, len(candidates)), -1, np.float32)
    return candidates.propensity[:k].astype(np.float32)


def _first(values: Numbers | None, k: int) -> npt.NDArray[np.float32] | None:
    return None if values is None else values[:k].astype(np.float32)


class Lists:
    """Makes the answers of one version.

    Args:
        catalogue: The items.
        version: Name of the version.
        cold: (n,) one-based items of the graph that had no interactions when it was trained.
        reranker: Of the version; none: it has none.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        version: str,
        cold: Indices,
        reranker: Reranker | None = None,
    ) -> None:
        self._catalogue = catalogue
        self._version = version
        self._reranker = reranker
        # What was added since has none either.
        self._cold = np.arange(len(catalogue) + 1) > catalogue.n_graph
        self._cold[cold] = True

    def make(
        self,
        rows: Sequence[Question],
        best: Sequence[Best],
        probes: Sequence[Best | None],
        watch: StopWatch = UNTIMED,
    ) -> list[Answer]:
        """Return one answer per row.

        Args:
            rows: The questions.
            best: The graph's best items of each.
            probes: The graph's best of the items that a rule wants among the candidates, if any.
            watch: Times the stages.
        """
        return [self._make(*row, watch) for row in zip(rows, best, probes, strict=True)]

    def _make(self, row: Question, best: Best, probe: Best | None, watch: StopWatch) -> Answer:
        k = row.query.k
        candidates, reason = self._candidates(row, best, probe)
        watch.lap("live_items")
        candidates, trace = run_rules(
            candidates,
            row.query,
            catalogue=self._catalogue,
            liked=row.items[row.liked],
            seen=row.seen,
            later=row.later,
            judge=None if self._reranker is None else self._reranker.of(row.items, row.liked),
        )
        watch.lap("rules")
        item, place = candidates.item[:k], candidates.place[:k]
        answer = Answer(
            item_id=self._catalogue.ids[item],
            title=self._catalogue.titles[item],
            score=candidates.score[:k].astype(np.float32),
            reason=self._names(row, reason, place),
            propensity=propensities(candidates, k),
            liking=_first(candidates.liking, k),
            rating=_first(candidates.rating, k),
            source=row.source,
            degraded=row.degraded,
            unknown_items=row.unknown_items,
            unknown_attributes=row.unknown_attributes,
            version=self._version,
            trace_id=row.query.trace_id,
            trace=json.dumps([*row.filtered, *trace]),
            cold=int(np.count_nonzero(self._cold[item])),
        )
        watch.lap("answer")
        return answer

    def _names(self, row: Question, reason: Indices, place: Indices) -> npt.NDArray[np.object_]:
        """Return the (n, 3) ids of the history items that speak for each item."""
        if not len(row.items) or not len(reason):
            return np.full((len(place), REASONS), b"", dtype=object)
        past = np.concatenate([[0], row.items])
        return self._catalogue.ids[past[np.where(place[:, None] >= 0, reason[place], 0)]]

    def _candidates(
        self, row: Question, best: Best, probe: Best | None
    ) -> tuple[Candidates, Indices]:
        """Return the candidates, best first, and the (n, 3) reasons their places point at."""
        count = int(np.count_nonzero(best.item))
        item, score, reason = best.item[:count], best.score[:count], best.reason[:count]
        place = np.arange(count)
        if probe is not None:
            new = np.flatnonzero((probe.item > 0) & ~np.isin(probe.item, item))
            item = np.concatenate([item, probe.item[new]])
            score = np.concatenate([score, probe.score[new]])
            reason = np.concatenate([reason, probe.reason[new]])
            place = np.arange(len(item))
        added, found = self._added(row, best)
        if len(added):
            item = np.concatenate([item, added])
            score = np.concatenate([score, found])
            place = np.concatenate([place, np.full(len(added), -1)])
        if len(item) > count:
            order = np.argsort(-score, kind="stable")
            item, score, place = item[order], score[order], place[order]
        utility = score.astype(np.float64)
        return Candidates(item, utility, utility, place), reason

    def _added(self, row: Question, best: Best) -> tuple[Indices, npt.NDArray[np.float32]]:
        """Return the live items that may be candidates (one-based) and their scores."""
        live, n_graph = self._catalogue.live, self._catalogue.n_graph
        if live is None:
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)
        places = np.flatnonzero(row.bounds.live)
        score = best.taste @ live[:, places]
        most = max(row.query.k, len(best.item))
        if len(places) > most:
            probed = np.isin(places + n_graph + 1, row.probe)
            # The greatest scores; of equal ones those of the items added first.
            top = np.argsort(-score, kind="stable")[:most]
            kept = np.union1d(top, np.flatnonzero(probed))
            places, score = places[kept], score[kept]
        return places + n_graph + 1, score
