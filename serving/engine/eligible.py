"""Which items a row may be given: rules and lists of the request, as the graph's allow and exclude.

A filter becomes part of the question, never a sieve over its answer: a filtered list is full as
long as enough items are left.
"""

import time
from dataclasses import dataclass

import numpy as np

from serving.engine.catalogue import NEVER_CHANGES, Catalogue, Mask
from serving.engine.rule_set import RuleSet
from serving.rules._rule import Indices, Trace

_KEPT_BYTES = 64_000_000
"""Memory for filters that are kept."""

NOTHING = np.empty(0, dtype=np.int64)


@dataclass(frozen=True)
class Eligible:
    """What the filters of a rule set leave of a catalogue.

    Attributes:
        mask: (N,) items that may be shown; none: all.
        allow: One-based items of the graph, if that list is the shorter one; none: see ``exclude``.
        exclude: One-based items of the graph that may not be shown, if ``allow`` is none.
        until: Microseconds since 1970; from then on another answer may be right.
        trace: What each filter did.
    """

    mask: Mask | None
    allow: Indices | None
    exclude: Indices
    until: int
    trace: tuple[Trace, ...]


class Filters:
    """Applies the filters of rule sets to one catalogue and keeps the results.

    Args:
        catalogue: The items.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._kept: dict[RuleSet, Eligible] = {}
        self._most = max(8, _KEPT_BYTES // (9 * max(1, len(catalogue))))

    def apply(self, rules: RuleSet) -> Eligible:
        """Return what the filters leave at this moment."""
        now = time.time_ns() // 1000
        found = self._kept.get(rules)
        if found is None or now >= found.until:
            if len(self._kept) >= self._most:
                self._kept.clear()
            found = self._kept[rules] = self._apply(rules, now)
        return found

    def _apply(self, rules: RuleSet, now: int) -> Eligible:
        catalogue = self._catalogue
        mask: Mask | None = None
        if len(catalogue.hidden):
            mask = np.ones(len(catalogue), dtype=bool)
            mask[catalogue.hidden - 1] = False
        before = len(catalogue) if mask is None else int(mask.sum())
        until, trace = NEVER_CHANGES, []
        for name, rule in rules.filters.items():
            allowed, changes = rule.allowed(catalogue, now)
            until = min(until, changes)
            if allowed is not None:
                mask = allowed if mask is None else mask & allowed
            after = len(catalogue) if mask is None else int(mask.sum())
            trace.append({"rule": name, "before": before, "after": after})
            before = after
        if mask is None:
            return Eligible(None, None, NOTHING, until, tuple(trace))
        inside = mask[: catalogue.n_graph]
        if 2 * int(inside.sum()) <= len(inside):
            allow = np.flatnonzero(inside) + 1
            return Eligible(mask, allow, NOTHING, until, tuple(trace))
        return Eligible(mask, None, np.flatnonzero(~inside) + 1, until, tuple(trace))


@dataclass(frozen=True)
class Bounds:
    """What one row may be given.

    Attributes:
        allow: For the graph; empty: no bound.
        exclude: For the graph.
        live: (M,) which live items may be shown.
    """

    allow: Indices
    exclude: Indices
    live: Mask


NONE_OF_THE_GRAPH = np.array([1], dtype=np.int64)
"""An item that is allowed and excluded: the only way to say "none", as an empty list means all."""


def bounds(
    catalogue: Catalogue,
    eligible: Eligible,
    *,
    allow: Indices | None,
    exclude: Indices,
) -> Bounds:
    """Combine the filters with a row's own lists.

    Args:
        catalogue: The items.
        eligible: What the filters leave.
        allow: One-based items that alone may be shown; none: no such list.
        exclude: One-based items that may not.
    """
    n_graph = catalogue.n_graph
    n_live = len(catalogue) - n_graph
    live = np.ones(n_live, dtype=bool)
    if n_live:
        if eligible.mask is not None:
            live &= eligible.mask[n_graph:]
        if allow is not None:
            live &= np.isin(np.arange(n_graph + 1, len(catalogue) + 1), allow)
        live[exclude[exclude > n_graph] - n_graph - 1] = False
        exclude = exclude[exclude <= n_graph]
    if allow is None:
        if eligible.allow is None:
            both = np.concatenate([eligible.exclude, exclude]) if len(eligible.exclude) else exclude
            return Bounds(NOTHING, both, live)
        wanted = eligible.allow
    else:
        wanted = np.unique(allow[allow <= n_graph])
        if eligible.mask is not None:
            wanted = wanted[eligible.mask[wanted - 1]]
    if len(wanted):
        return Bounds(wanted, exclude, live)
    return Bounds(NONE_OF_THE_GRAPH, NONE_OF_THE_GRAPH, live)
