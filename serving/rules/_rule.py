"""What a rule is given and what it can do."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from serving.engine.catalogue import NEVER_CHANGES, Catalogue, Mask

Trace = dict[str, Any]
"""What a rule did, for the answer's trace."""

Examples = tuple[Mapping[str, Any], ...]
"""Options of a rule that make sense, for its contract test and the documentation."""

Numbers = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Candidates:
    """The items that may fill one list, best first.

    Attributes:
        item: (n,) one-based catalogue indices, each once.
        score: (n,) scores of the model; rules do not change them.
        utility: (n,) what the order follows, never ascending.
        place: (n,) rows of the graph's answer, for the reasons; -1: none.
        logit: (n,) log-weights of the Plackett-Luce draw that made the order, -inf for what was
            not drawn; none: nothing was drawn.
        propensity: (n,) probability of each item at its place given those before it; none: nothing
            was drawn.
        liking: (n,) probabilities of the re-ranker, NaN where it was not asked; none: nowhere.
        rating: (n,) its ratings, as ``liking``.
    """

    item: Indices
    score: Numbers
    utility: Numbers
    place: Indices
    logit: Numbers | None = None
    propensity: Numbers | None = None
    liking: Numbers | None = None
    rating: Numbers | None = None

    def __len__(self) -> int:
        return len(self.item)

    def take(self, order: Indices, *, utility: Numbers | None = None) -> "Candidates":
        """Return the candidates at ``order`` (zero-based), with another utility if given."""
        return replace(
            self,
            item=self.item[order],
            score=self.score[order],
            utility=self.utility[order] if utility is None else utility,
            place=self.place[order],
            logit=None if self.logit is None else self.logit[order],
            propensity=None if self.propensity is None else self.propensity[order],
            liking=None if self.liking is None else self.liking[order],
            rating=None if self.rating is None else self.rating[order],
        )


@dataclass(frozen=True)
class Judge:
    """The version's re-ranker for one history.

    Attributes:
        weight: Of its judgement, chosen on validation.
        depth: Candidates that are judged.
        ask: One-based items of the graph and their scores -> logits of liking, and ratings.
    """

    weight: float
    depth: int
    ask: Callable[[Indices, Numbers], tuple[Numbers, Numbers]]


@dataclass(frozen=True)
class Row:
    """The question whose list is made.

    Attributes:
        k: Length of the list.
        trace_id: Id of the question, which seeds what is drawn.
        liked: One-based items of the history that were liked, oldest first.
        seen: One-based items of the history.
        catalogue: The items.
        spread: Standard deviation of the candidates' scores.
        judge: The re-ranker; none: the version has none.
    """

    k: int
    trace_id: str
    liked: Indices
    seen: Indices
    catalogue: Catalogue
    spread: float
    judge: Judge | None = None


class Rule:
    """Does nothing; the rules override what they need.

    Attributes:
        filters: ``allowed`` says something.
        reranks: ``rerank`` does something, so that more than k candidates are asked for.
        repeats: Items of the history may be recommended again.
    """

    filters: ClassVar[bool] = False
    reranks: ClassVar[bool] = False
    repeats: ClassVar[bool] = False

    def allowed(self, catalogue: Catalogue, now: int) -> tuple[Mask | None, int]:
        """Return which items may be shown, and the first moment at which that changes.

        Args:
            catalogue: The items.
            now: Microseconds since 1970.

        Returns:
            None in place of the mask: everything.
        """
        return None, NEVER_CHANGES

    def wanted(self, catalogue: Catalogue) -> Indices:
        """Return items (one-based) that must be candidates even if others score higher."""
        return np.empty(0, dtype=np.int64)

    def rerank(self, candidates: Candidates, row: Row) -> tuple[Candidates, Trace]:
        """Return the candidates in another order, or fewer of them, and what was done.

        Must be a deterministic function of its arguments. Filters are not asked.
        """
        return candidates, {}


def moved(before: Candidates, after: Candidates, k: int) -> int:
    """Return at how many of the first k places another item stands than before."""
    old, new = before.item[:k], after.item[:k]
    shared = min(len(old), len(new))
    return int((old[:shared] != new[:shared]).sum()) + abs(len(old) - len(new))


def relevance(candidates: Candidates, depth: int) -> Numbers:
    """Return the utilities of the first ``depth`` candidates, scaled to run from 0 to 1.

    All ones where they are equal.
    """
    utility = candidates.utility[:depth]
    low, high = (float(utility.min()), float(utility.max())) if len(utility) else (0.0, 0.0)
    if high <= low:
        return np.ones(len(utility))
    return np.asarray((utility - low) / (high - low), dtype=np.float64)


def reordered(candidates: Candidates, chosen: Indices, gains: Numbers) -> Candidates:
    """Put the chosen candidates first; the others follow in their order.

    Args:
        candidates: Before.
        chosen: (m,) zero-based places in the new order.
        gains: (m,) their gains, never ascending: the new utility. Those that follow get less than
            the last gain, in equal steps, since no gain was computed for them.
    """
    rest = np.delete(np.arange(len(candidates)), chosen)
    gains = np.minimum.accumulate(gains)  # Rounding may lift a gain by an ulp.
    step = (gains[0] - gains[-1]) / max(1, len(gains) - 1) if len(gains) else 0.0
    last = gains[-1] if len(gains) else 0.0
    below = last - (step or 1e-6) * np.arange(1, len(rest) + 1)
    return candidates.take(
        np.concatenate([chosen, rest]).astype(np.int64), utility=np.concatenate([gains, below])
    )
