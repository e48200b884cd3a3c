"""Moves items, or all items with an attribute, up or down."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from serving.engine.catalogue import Catalogue
from serving.rules._options import Options
from serving.rules._rule import Candidates, Examples, Indices, Row, Rule, Trace, moved
from serving.spec import InvalidInput

ORDER = 40
LIMIT = 100.0
EXAMPLES: Examples = (
    {"items": {"b": 2.0, "nope": 1.0}},
    {"attributes": {"genre=Drama": -1.5}},
    {"items": {"b": -1, "日本": 3}, "attributes": {"genre=Comedy": 0.5}},
)


@dataclass(frozen=True)
class Boost(Rule):
    """Adds to utilities, in standard deviations of the candidates' scores; boosts add up."""

    items: Mapping[str, float]
    attributes: Mapping[str, float]
    reranks = True

    def wanted(self, catalogue: Catalogue) -> Indices:
        """What is moved up may stand below the candidates the graph would give."""
        lifted = [
            catalogue.index[i] for i, x in self.items.items() if x > 0 and i in catalogue.index
        ]
        owners = catalogue.with_tokens(t for t, x in self.attributes.items() if x > 0)
        return np.union1d(np.array(lifted, dtype=np.int64), np.flatnonzero(owners) + 1)

    def rerank(self, candidates: Candidates, row: Row) -> tuple[Candidates, Trace]:
        """Sort by the utilities with the boosts."""
        gain = np.array([self._gain(row.catalogue, int(item)) for item in candidates.item])
        utility = candidates.utility + gain * row.spread
        after = replace(candidates, utility=utility).take(np.argsort(-utility, kind="stable"))
        trace = {"boosted": int((gain != 0).sum()), "moved": moved(candidates, after, row.k)}
        return after, trace

    def _gain(self, catalogue: Catalogue, item: int) -> float:
        gain = self.items.get(catalogue.ids[item].decode(), 0.0) if self.items else 0.0
        if self.attributes:
            gain += sum(self.attributes.get(t.decode(), 0.0) for t in catalogue.attributes(item))
        return gain


def parse(options: Options) -> Rule:
    """Read ``items`` (id -> boost) and ``attributes`` (token -> boost)."""
    items = options.weights("items", limit=LIMIT)
    attributes = options.weights("attributes", limit=LIMIT, tokens=True)
    options.done()
    if not items and not attributes:
        raise InvalidInput(
            f'{options.where}: nothing is named; send for example {{"items": {{"42": 1.5}}}}.'
        )
    return Boost(items, attributes)
