"""Diversity by a determinantal point process: a list is good if its items are, and span much.

Greedy MAP inference by incremental Cholesky factors, O(depth^2 k): Chen, Zhang and Zhou (2018),
"Fast greedy MAP inference for determinantal point process to improve recommendation diversity",
NeurIPS. With their kernel ``L = diag(exp(a r)) S diag(exp(a r))``, ``a = theta / (2 (1 - theta))``
and ``theta = 1 - weight``, the gain of an item is, up to a factor,
``(1 - weight) relevance + weight log d^2``, d^2 being what the items taken leave of it in S.
"""

from dataclasses import dataclass

import numpy as np

from serving.rules._options import Options
from serving.rules._rule import Candidates, Examples, Row, Rule, Trace, moved, relevance, reordered

ORDER = 51
MAX_DEPTH = 1000
_RANK = 1e-6
"""Below this d^2, an item lies in the span of those taken and log d^2 is noise."""
EXAMPLES: Examples = ({}, {"weight": 0.8}, {"weight": 1, "depth": 6})


@dataclass(frozen=True)
class Dpp(Rule):
    """``weight``: of diversity, 0 changes nothing; ``depth``: how many candidates take part."""

    weight: float
    depth: int
    reranks = True

    def rerank(self, candidates: Candidates, row: Row) -> tuple[Candidates, Trace]:
        """Reorder the first ``depth`` candidates, as far as S has rank."""
        depth = min(self.depth, len(candidates))
        own = (1 - self.weight) * relevance(candidates, depth)
        kernel = row.catalogue.similarities(candidates.item[:depth])
        left = np.ones(depth)
        factors = np.zeros((depth, depth))
        chosen: list[int] = []
        gains: list[float] = []
        for place in range(depth):
            gain = own + self.weight * np.log(left)
            best = int(gain.argmax())
            if left[best] <= _RANK:
                break
            chosen.append(best)
            gains.append(float(gain[best]))
            own[best] = -np.inf
            spanned = factors[:, :place] @ factors[best, :place]
            factors[:, place] = (kernel[best] - spanned) / np.sqrt(left[best])
            left = np.maximum(left - factors[:, place] ** 2, _RANK)
        after = reordered(candidates, np.array(chosen, dtype=np.int64), np.array(gains))
        trace = {"depth": depth, "spanned": len(chosen), "moved": moved(candidates, after, row.k)}
        return after, trace


def parse(options: Options) -> Rule:
    """Read ``weight`` (default 0.3) and ``depth`` (default 50)."""
    weight = options.number("weight", 0.3, low=0, high=1)
    depth = options.whole("depth", 50, low=1, high=MAX_DEPTH)
    options.done()
    return Dpp(weight, depth)
