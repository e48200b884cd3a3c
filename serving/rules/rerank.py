"""A second look at the best items: a model that reads the history beside each candidate.

Where the version has a re-ranker that was worth it on validation, it is applied without being asked
for, with the weight and the depth chosen there (docs/reranking.md).
"""

from dataclasses import dataclass, replace

import numpy as np

from serving.rules._options import Options
from serving.rules._rule import Candidates, Examples, Row, Rule, Trace, moved

ORDER = 25
MAX_WEIGHT = 100.0
MAX_DEPTH = 1000
EXAMPLES: Examples = ({}, {"weight": 0.5}, {"weight": 0, "depth": 5})


@dataclass(frozen=True)
class Rerank(Rule):
    """``weight``: of the judgement; ``depth``: how many candidates are judged; None: the version's.

    Both parts are standardised over the candidates that are judged.
    """

    weight: float | None = None
    depth: int | None = None
    reranks = True

    def rerank(self, candidates: Candidates, row: Row) -> tuple[Candidates, Trace]:
        """Judge the first ``depth`` candidates and sort them by both parts together."""
        judge = row.judge
        if judge is None:
            return candidates, {"why": "this version has no re-ranker"}
        weight = judge.weight if self.weight is None else self.weight
        depth = min(self.depth or judge.depth, len(candidates))
        # Items added since the training are unknown to it: they keep their places by score.
        places = np.flatnonzero(candidates.item[:depth] <= row.catalogue.n_graph)
        if not len(places):
            return candidates, {"judged": 0, "weight": weight, "moved": 0}
        logit, rating = judge.ask(candidates.item[places], candidates.score[places])
        utility = candidates.utility.copy()
        spread = float(candidates.score[places].std())
        utility[places] += weight * spread * (logit - logit.mean()) / max(float(logit.std()), 1e-6)
        if depth < len(candidates):
            # What is not looked at stays below what is.
            utility[:depth] += max(0.0, float(utility[depth:].max() - utility[:depth].min()))
        liking, stars = np.full(len(candidates), np.nan), np.full(len(candidates), np.nan)
        liking[places], stars[places] = 1 / (1 + np.exp(-logit)), rating
        after = replace(candidates, utility=utility, liking=liking, rating=stars)
        after = after.take(np.argsort(-utility, kind="stable"))
        done = {"judged": len(places), "weight": weight, "moved": moved(candidates, after, row.k)}
        return after, done


def parse(options: Options) -> Rule:
    """Read ``weight`` and ``depth``, by default those of the version."""
    weight = options.number("weight", 0.0, low=0, high=MAX_WEIGHT)
    depth = options.whole("depth", 1, low=1, high=MAX_DEPTH)
    given = Rerank(
        weight if options.has("weight") else None, depth if options.has("depth") else None
    )
    options.done()
    return given
