"""What becomes of items of the user's history: left out (default), allowed again, or put down."""

from dataclasses import dataclass, replace

import numpy as np

from serving.rules._options import Options
from serving.rules._rule import Candidates, Examples, Row, Rule, Trace, moved
from serving.spec import InvalidInput

ORDER = 30
POLICIES = ("exclude", "allow", "downrank")
EXAMPLES: Examples = (
    {"policy": "exclude"},
    {"policy": "allow"},
    {"policy": "downrank", "penalty": 0.5},
)


class Exclude(Rule):
    """The graph leaves the history out by itself."""

    def rerank(self, candidates: Candidates, row: Row) -> tuple[Candidates, Trace]:
        """Say how many items are left out."""
        return candidates, {"policy": "exclude", "seen": len(np.unique(row.seen))}


class Allow(Rule):
    """Items of the history compete with the others."""

    repeats = True

    def rerank(self, candidates: Candidates, row: Row) -> tuple[Candidates, Trace]:
        """Say how many of the items shown have been seen."""
        shown = np.isin(candidates.item[: row.k], row.seen)
        return candidates, {"policy": "allow", "seen": int(shown.sum())}


@dataclass(frozen=True)
class Downrank(Rule):
    """``penalty``: what a seen item loses, in standard deviations of the candidates' scores."""

    penalty: float
    repeats = True
    reranks = True

    def rerank(self, candidates: Candidates, row: Row) -> tuple[Candidates, Trace]:
        """Put seen items down."""
        seen = np.isin(candidates.item, row.seen)
        utility = candidates.utility - self.penalty * row.spread * seen
        order = np.argsort(-utility, kind="stable")
        after = replace(candidates, utility=utility).take(order)
        return after, {
            "policy": "downrank",
            "seen": int(seen.sum()),
            "moved": moved(candidates, after, row.k),
        }


def parse(options: Options) -> Rule:
    """Read ``policy``, and ``penalty`` of the policy downrank."""
    policy = options.choice("policy", POLICIES)
    penalty = options.number("penalty", 1.0, low=0, high=100)
    options.done()
    if policy == "downrank":
        return Downrank(penalty)
    if options.has("penalty"):
        raise InvalidInput(
            f"{options.where}.penalty: only the policy downrank has one, not {policy}."
        )
    return Allow() if policy == "allow" else Exclude()
