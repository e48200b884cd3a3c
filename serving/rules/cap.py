"""At most so many items of each value of an attribute in one list, such as two of a genre."""

from dataclasses import dataclass, replace

import numpy as np

from serving.engine.catalogue import Mask
from serving.rules._options import Options
from serving.rules._rule import Candidates, Examples, Indices, Numbers, Row, Rule, Trace, moved

ORDER = 70
EXAMPLES: Examples = (
    {"attribute": "genre", "most": 1},
    {"attribute": "genre", "most": 2},
    {"attribute": "nope", "most": 1},
)


@dataclass(frozen=True)
class Cap(Rule):
    """Goes down the list and leaves out items one of whose values has been shown ``most`` times."""

    attribute: str
    most: int
    reranks = True

    def rerank(self, candidates: Candidates, row: Row) -> tuple[Candidates, Trace]:
        """Thin the candidates out; the list is shorter where too few are left."""
        owner, codes = row.catalogue.tokens(candidates.item, self.attribute)
        values, codes = np.unique(codes, return_inverse=True)
        has = np.zeros((len(candidates), len(values)), dtype=bool)
        has[owner, codes] = True
        shown = np.zeros(len(values), dtype=np.int64)
        kept = []
        for place, owned in enumerate(has):
            if not (shown[owned] >= self.most).any():
                kept.append(place)
                shown += owned
                if len(kept) == row.k:
                    break
        order = np.array(kept, dtype=np.int64)
        after = candidates.take(order)
        if candidates.logit is not None:
            after = replace(after, propensity=self._propensity(candidates.logit, order, has))
        trace = {
            "before": len(candidates),
            "after": len(after),
            "moved": moved(candidates, after, row.k),
        }
        return after, trace

    def _propensity(self, logit: Numbers, kept: Indices, has: Mask) -> Numbers:
        """Return the probability of each kept item at its place given those kept before it.

        A drawn order that is gone through with items left out draws each place from the items that
        were not out: given those before, the Gumbel values of all others lie independently below
        the last one taken, whichever of them are out.
        """
        shown = np.zeros(has.shape[1], dtype=np.int64)
        left = np.ones(len(has), dtype=bool)
        found = np.ones(len(kept))
        for rank, place in enumerate(kept):
            out = has[:, shown >= self.most].any(axis=1)
            if logit[place] > -np.inf:
                # Relative to the item itself: the sum then is at least 1.
                with np.errstate(over="ignore"):
                    found[rank] = 1.0 / np.exp(logit[left & ~out] - logit[place]).sum()
            left[place] = False
            shown += has[place]
        return found


def parse(options: Options) -> Rule:
    """Read ``attribute`` and ``most``."""
    attribute = options.text("attribute")
    most = options.whole("most", None, low=1, high=10_000)
    options.done()
    return Cap(attribute, most)
