"""Diversity over the values of an attribute, in the proportions of the user's history (xQuAD).

Santos, Macdonald and Ounis (2010), "Exploiting query reformulations for web search result
diversification", WWW. Greedily takes the item d of the greatest

    (1 - weight) P(d) + weight sum_c P(c) P(d | c) prod_{taken j} (1 - P(j | c))

c: the values of the attribute; P(c): their share in what the user liked, or in the candidates where
nothing is known; P(d): relevance from 0 to 1; P(d | c): half of it if d has c, else 0, so that a
value counts half after its best item has been taken and is never used up.
"""

from dataclasses import dataclass

import numpy as np

from serving.rules._options import Options
from serving.rules._rule import Candidates, Examples, Row, Rule, Trace, moved, relevance, reordered

ORDER = 52
MAX_DEPTH = 1000
SATISFIES = 0.5
EXAMPLES: Examples = (
    {"attribute": "genre"},
    {"attribute": "genre", "weight": 1, "depth": 7},
    {"attribute": "nope"},
)


@dataclass(frozen=True)
class Xquad(Rule):
    """``weight``: of diversity, 0 changes nothing; ``depth``: how many candidates take part."""

    attribute: str
    weight: float
    depth: int
    reranks = True

    def rerank(self, candidates: Candidates, row: Row) -> tuple[Candidates, Trace]:
        """Reorder the first ``depth`` candidates."""
        depth = min(self.depth, len(candidates))
        owner, codes = row.catalogue.tokens(candidates.item[:depth], self.attribute)
        aspects, codes = np.unique(codes, return_inverse=True)
        own = relevance(candidates, depth)
        satisfies = np.zeros((depth, len(aspects)))
        satisfies[owner, codes] = SATISFIES * own[owner]
        liker, likes = row.catalogue.tokens(row.liked, self.attribute)
        if len(likes):
            known = np.isin(likes, aspects)
            places = np.searchsorted(aspects, likes[known])
            # An item with several values counts for each of them by equal parts.
            parts = 1 / np.bincount(liker)[liker[known]]
            shares = np.bincount(places, parts, minlength=len(aspects)) / len(np.unique(liker))
        else:
            parts = 1 / np.bincount(owner)[owner] if len(owner) else np.empty(0)
            shares = np.bincount(codes, parts, minlength=len(aspects)) / max(1, len(set(owner)))
        wanted = shares.astype(np.float64)
        own *= 1 - self.weight
        chosen, gains = np.empty(depth, dtype=np.int64), np.empty(depth)
        for rank in range(depth):
            gain = own + self.weight * (satisfies @ wanted)
            best = int(gain.argmax())
            chosen[rank], gains[rank] = best, gain[best]
            own[best] = -np.inf
            wanted *= 1 - satisfies[best]
        after = reordered(candidates, chosen, gains)
        trace = {"depth": depth, "values": len(aspects), "moved": moved(candidates, after, row.k)}
        return after, trace


def parse(options: Options) -> Rule:
    """Read ``attribute``, ``weight`` (default 0.3) and ``depth`` (default 50)."""
    attribute = options.text("attribute")
    weight = options.number("weight", 0.3, low=0, high=1)
    depth = options.whole("depth", 50, low=1, high=MAX_DEPTH)
    options.done()
    return Xquad(attribute, weight, depth)
