"""Diversity by maximal marginal relevance.

Carbonell and Goldstein (1998), "The use of MMR, diversity-based reranking for reordering documents
and producing summaries", SIGIR. Greedily takes the item of the greatest
``(1 - weight) relevance - weight max(0, cosine with the closest item taken)``.
"""

from dataclasses import dataclass

import numpy as np

from serving.rules._options import Options
from serving.rules._rule import Candidates, Examples, Row, Rule, Trace, moved, relevance, reordered

ORDER = 50
MAX_DEPTH = 1000
EXAMPLES: Examples = ({}, {"weight": 0.7}, {"weight": 1, "depth": 5})


@dataclass(frozen=True)
class Mmr(Rule):
    """``weight``: of diversity, 0 changes nothing; ``depth``: how many candidates take part."""

    weight: float
    depth: int
    reranks = True

    def rerank(self, candidates: Candidates, row: Row) -> tuple[Candidates, Trace]:
        """Reorder the first ``depth`` candidates."""
        depth = min(self.depth, len(candidates))
        own = (1 - self.weight) * relevance(candidates, depth)
        cosines = self.weight * row.catalogue.similarities(candidates.item[:depth])
        penalty = np.zeros(depth)
        chosen, gains = np.empty(depth, dtype=np.int64), np.empty(depth)
        for place in range(depth):
            gain = own - penalty
            best = int(gain.argmax())
            chosen[place], gains[place] = best, gain[best]
            own[best] = -np.inf
            np.maximum(penalty, cosines[best], out=penalty)
        after = reordered(candidates, chosen, gains)
        return after, {"depth": depth, "moved": moved(candidates, after, row.k)}


def parse(options: Options) -> Rule:
    """Read ``weight`` (default 0.3) and ``depth`` (default 50)."""
    weight = options.number("weight", 0.3, low=0, high=1)
    depth = options.whole("depth", 50, low=1, high=MAX_DEPTH)
    options.done()
    return Mmr(weight, depth)
