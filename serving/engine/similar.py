"""Items like given items: exact cosines of the version's similarity vectors."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from serving.engine.catalogue import Catalogue
from serving.engine.eligible import Filters
from serving.engine.item_table import Texts
from serving.engine.lists import propensities, run_rules
from serving.query import Query
from serving.rules._rule import Candidates, Indices
from serving.spec import InvalidInput

MAX_K = 100
"""Longest list, and how many candidates re-ranking rules see."""


@dataclass(slots=True)
class Similar:
    """The list of one row; n items, best first; the fields are those of engine/answer.py."""

    item_id: Texts
    title: Texts
    score: npt.NDArray[np.float32]
    propensity: npt.NDArray[np.float32]
    unknown_items: Sequence[str]
    trace_id: str
    trace: str
    version: str


class SimilarItems:
    """Answers for one version.

    Args:
        catalogue: The items.
        version: Name of the version.
    """

    def __init__(self, catalogue: Catalogue, version: str) -> None:
        self.version = version
        self._catalogue = catalogue
        self._filters = Filters(catalogue)
        # Items of which nothing is known have vectors of zeros; their cosine means nothing.
        self._blank = np.flatnonzero(~catalogue.vectors.any(1))

    def answer(
        self, items: Sequence[Sequence[str]], queries: Sequence[Query]
    ) -> list[Similar | InvalidInput]:
        """Answer each row.

        Args:
            items: Ids that each row asks about; several stand for their mean.
            queries: What else the rows say.
        """
        asked = [self._places(*row) for row in zip(items, queries, strict=True)]
        good = [row for row in asked if not isinstance(row, InvalidInput)]
        if not good:
            return [row for row in asked if isinstance(row, InvalidInput)]
        vectors = self._catalogue.vectors
        centres = np.stack([vectors[places - 1].mean(0) for places in good])
        norms = np.linalg.norm(centres, axis=1, keepdims=True)
        cosines = (centres / np.maximum(norms, 1e-12)) @ vectors.T
        # An item of which nothing is known is like no other.
        cosines[norms[:, 0] == 0] = -np.inf
        scores = iter(cosines)
        return [
            row if isinstance(row, InvalidInput) else self._list(row, query, next(scores))
            for row, query in zip(asked, queries, strict=True)
        ]

    def _places(self, items: Sequence[str], query: Query) -> Indices | InvalidInput:
        index = self._catalogue.index
        if not 1 <= query.k <= MAX_K:
            return InvalidInput(f"k: {query.k} is out of range; allowed are 1 to {MAX_K}.")
        if not items:
            return InvalidInput("item_id: no item is named; send at least one item id.")
        for item in items:
            if item not in index:
                return InvalidInput(
                    f"item_id: {item[:80]!a} is not in the catalogue of version {self.version}; "
                    f"send ids of known items."
                )
        return np.array(list(dict.fromkeys(index[item] for item in items)), dtype=np.int64)

    def _list(
        self, places: Indices, query: Query, cosines: npt.NDArray[np.float32]
    ) -> Similar | InvalidInput:
        catalogue = self._catalogue
        index = catalogue.index
        eligible = self._filters.apply(query.rules)
        if eligible.mask is not None:
            cosines[~eligible.mask] = -np.inf
        if query.allow:
            barred = np.ones(len(cosines), dtype=bool)
            barred[[index[item] - 1 for item in query.allow if item in index]] = False
            cosines[barred] = -np.inf
        cosines[[index[item] - 1 for item in query.exclude if item in index]] = -np.inf
        cosines[places - 1] = -np.inf
        cosines[self._blank] = -np.inf
        most = MAX_K if query.rules.reranks else query.k
        candidates, trace = run_rules(
            _best(cosines, most), query, catalogue=catalogue, liked=places, seen=places
        )
        item = candidates.item[: query.k]
        named = (*query.allow, *query.exclude)
        return Similar(
            item_id=catalogue.ids[item],
            title=catalogue.titles[item],
            score=candidates.score[: query.k].astype(np.float32),
            propensity=propensities(candidates, query.k),
            unknown_items=list(dict.fromkeys(i for i in named if i not in index)),
            trace_id=query.trace_id,
            trace=json.dumps([*eligible.trace, *trace]),
            version=self.version,
        )


def _best(scores: npt.NDArray[np.float32], most: int) -> Candidates:
    """Return the items of the greatest finite scores; of equal ones the first in the catalogue."""
    if most < len(scores):
        bound = np.partition(scores, len(scores) - most)[len(scores) - most]
        places = np.flatnonzero((scores >= bound) & (scores > -np.inf))
    else:
        places = np.flatnonzero(scores > -np.inf)
    places = places[np.argsort(-scores[places], kind="stable")[:most]]
    score = scores[places].astype(np.float64)
    return Candidates(places + 1, score, score, np.full(len(places), -1))
