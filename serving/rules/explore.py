"""Exploration: draws the order of the best candidates, with known probabilities.

Plackett-Luce: each place is drawn from the items left with probability proportional to
``exp(utility / (temperature spread))``. Sorting by the log-weights plus independent Gumbel noise
draws just that (Yellott 1977, "The relationship between Luce's choice axiom, Thurstone's theory of
comparative judgment, and the double exponential distribution", J. Math. Psych. 15), and the
probability of each place given those before is exact, so that logged answers can be evaluated
off-policy.
"""

import hashlib
from dataclasses import dataclass, replace

import numpy as np

from serving.rules._options import Options
from serving.rules._rule import Candidates, Examples, Numbers, Row, Rule, Trace, moved

ORDER = 60
MAX_DEPTH = 1000
EXAMPLES: Examples = ({}, {"temperature": 2.5, "seed": 7}, {"temperature": 0.01, "depth": 3})


@dataclass(frozen=True)
class Explore(Rule):
    """Draws with noise that (``seed``, trace id) fixes.

    Attributes:
        temperature: In standard deviations of the utilities drawn from; near 0 changes nothing.
        depth: How many candidates take part; those behind keep their places.
        seed: Another seed draws other lists for the same trace ids.
    """

    temperature: float
    depth: int
    seed: int
    reranks = True

    def rerank(self, candidates: Candidates, row: Row) -> tuple[Candidates, Trace]:
        """Draw an order of the first ``depth`` candidates."""
        depth = min(self.depth, len(candidates))
        utility = candidates.utility[:depth]
        spread = float(utility.std()) if depth else 0.0
        logit = (utility - utility.max(initial=-np.inf)) / (self.temperature * (spread or 1.0))
        noise = _generator(self.seed, row.trace_id).gumbel(size=depth)
        order = np.argsort(-(logit + noise), kind="stable")
        drawn = logit[order]
        propensity = np.ones(len(candidates))
        propensity[:depth] = _probabilities(drawn)
        rest = np.arange(depth, len(candidates))
        # The utility keeps its descending values: the order says what was drawn.
        after = replace(
            candidates.take(np.concatenate([order, rest]), utility=candidates.utility),
            logit=np.concatenate([drawn, np.full(len(rest), -np.inf)]),
            propensity=propensity,
        )
        trace = {"depth": depth, "seed": self.seed, "moved": moved(candidates, after, row.k)}
        return after, trace


def _probabilities(logit: Numbers) -> Numbers:
    """Return the probability of each place given those before it, from the log-weights in order."""
    left = np.logaddexp.accumulate(logit[::-1])[::-1] if len(logit) else logit
    return np.asarray(np.exp(np.minimum(logit - left, 0.0)), dtype=np.float64)


def _generator(seed: int, trace_id: str) -> np.random.Generator:
    digest = hashlib.sha256(f"{seed}:{trace_id}".encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "big")))


def parse(options: Options) -> Rule:
    """Read ``temperature`` (default 0.5), ``depth`` (default 50) and ``seed`` (default 0)."""
    temperature = options.number("temperature", 0.5, low=0.001, high=1000)
    depth = options.whole("depth", 50, low=1, high=MAX_DEPTH)
    seed = options.whole("seed", 0, low=0, high=2**63 - 1)
    options.done()
    return Explore(temperature, depth, seed)
