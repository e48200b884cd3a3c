"""The choice of the fusion on validation: one setting after the other, never following noise."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from counterpoint.candidates import Candidates
from counterpoint.choices import CONFIGURED, Choices
from counterpoint.config.train import TrainConfig
from counterpoint.pools import AnyScorer, Pools, Validation
from counterpoint.significance import nearest_of_best

SETTINGS = ("linear", "tower", "normalisation", "second", "factors", "prior")
"""In the order they are looked at; the popularity's half-life is chosen for the prior alone."""


@dataclass(frozen=True)
class _State:
    """A fusion by the names of its scorers."""

    linear: str
    second: str | None
    second_weight: float
    factors: float
    tower: float
    tower_variant: str
    normalisation: Any
    prior: float
    half_life: float | None


class FusionSearch:
    """Coordinate search over the fusion.

    Of each setting in turn all values are tried with the others as they stand, and the value
    nearest to the start is taken of those that are not clearly worse than the best.

    Args:
        validation: The users.
        candidates: Fitted scorers.
        first: Where the search starts.
        config: The grids.
    """

    def __init__(
        self, validation: Validation, candidates: Candidates, first: Choices, config: TrainConfig
    ) -> None:
        self.candidates = candidates
        self.config = config
        self.tried: list[dict[str, Any]] = []
        scorers: dict[str, AnyScorer] = {
            name: scorer for name, (_, scorer) in candidates.linears.items()
        }
        scorers |= {tower_name(variant): scorer for variant, scorer in candidates.towers.items()}
        scorers |= {prior_name(days): scorer for days, scorer in candidates.priors.items()}
        if candidates.factors is not None:
            scorers["factors"] = candidates.factors
        self.pools = Pools(validation, scorers, self._normalisations(first))
        self.first = self._first(first)
        self._known: dict[_State, npt.NDArray[np.float64]] = {}

    def run(self, first: Choices) -> tuple[Choices, npt.NDArray[np.float64]]:
        """Return the taken settings and their NDCG@10 per user."""
        state = self.first
        for number in range(self.config.choices.rounds):
            before = state
            for setting in SETTINGS:
                values = getattr(self, f"_{setting}")(state)
                state = self._step(setting, state, values, number)
            if state == before:
                break
        return self._choices(state, first), self.ndcg(state)

    @property
    def start_ndcg(self) -> npt.NDArray[np.float64]:
        """NDCG@10 per user of the starting settings."""
        return self.ndcg(self.first)

    def ndcg(self, state: _State) -> npt.NDArray[np.float64]:
        """NDCG@10 per user of one fusion."""
        if state not in self._known:
            weights = {state.linear: self.config.fusion.linear_weight}
            if state.second is not None:
                weights[state.second] = weights.get(state.second, 0.0) + state.second_weight
            if state.factors:
                weights["factors"] = state.factors
            if state.tower:
                weights[tower_name(state.tower_variant)] = state.tower
            self._known[state] = self.pools.ndcg(
                state.normalisation, weights, prior_name(state.half_life), state.prior
            )
        return self._known[state]

    def _step(
        self, setting: str, state: _State, values: Mapping[_State, float], number: int
    ) -> _State:
        scores = {other: self.ndcg(other) for other in values}
        taken = nearest_of_best(scores, lambda other: values[other])
        for other, found in scores.items():
            plain = {name: value for name, value in asdict(other).items() if value is not None}
            self.tried.append(
                {"step": f"{setting}, round {number + 1}", "taken": other == taken}
                | plain
                | {"ndcg@10": float(found.mean())}
            )
        return taken

    def _linear(self, state: _State) -> dict[_State, float]:
        start = self.first.linear
        return {
            replace(state, linear=name): float(name != start)
            for name in self.candidates.linears
            if name != state.second
        }

    def _tower(self, state: _State) -> dict[_State, float]:
        weights = {self.first.tower, *self.config.fusion.tower_weights}
        values = {replace(state, tower=0.0, tower_variant=CONFIGURED): np.log1p(self.first.tower)}
        for variant in self.candidates.towers:
            other = 0.5 * (variant != CONFIGURED)
            for weight in sorted(weights - {0.0}):
                distance = abs(np.log1p(weight) - np.log1p(self.first.tower)) + other
                values[replace(state, tower=weight, tower_variant=variant)] = distance
        return values

    def _normalisation(self, state: _State) -> dict[_State, float]:
        start = self.first.normalisation
        modes = dict.fromkeys((start, *self.config.fusion.normalisations))
        return {replace(state, normalisation=how): float(how != start) for how in modes}

    def _second(self, state: _State) -> dict[_State, float]:
        values = {replace(state, second=None, second_weight=0.0): 0.0}
        for name in self.candidates.linears:
            for weight in self.config.fusion.second_weights:
                if name != state.linear:
                    values[replace(state, second=name, second_weight=weight)] = weight
        return values

    def _factors(self, state: _State) -> dict[_State, float]:
        weights = self.config.factors.weights if self.candidates.factors is not None else (0.0,)
        return {replace(state, factors=weight): weight for weight in weights}

    def _prior(self, state: _State) -> dict[_State, float]:
        weights = {self.first.prior, *self.config.prior.weights}
        return {
            replace(state, prior=weight): abs(weight - self.first.prior)
            for weight in sorted(weights)
        }

    def _normalisations(self, first: Choices) -> list[Any]:
        return list(dict.fromkeys((first.normalisation, *self.config.fusion.normalisations)))

    def _first(self, first: Choices) -> _State:
        """The start in names; another ridge may have been taken for its linear form."""
        wanted = first.linears[0][0].name
        form, weighting = wanted.split("/")
        linear = next(
            name
            for name in self.candidates.linears
            if name.split("/")[0].split("*")[0] == form and name.endswith(f"/{weighting}")
        )
        has_tower = CONFIGURED in self.candidates.towers
        return _State(
            linear=linear,
            second=None,
            second_weight=0.0,
            factors=0.0,
            tower=first.tower if has_tower else 0.0,
            tower_variant=CONFIGURED,
            normalisation=first.normalisation,
            prior=first.prior,
            half_life=first.half_life_days,
        )

    def _choices(self, state: _State, first: Choices) -> Choices:
        own = self.config.fusion.linear_weight
        linears = [(self.candidates.linears[state.linear][0], own)]
        if state.second is not None and state.second != state.linear:
            linears.append((self.candidates.linears[state.second][0], state.second_weight))
        return replace(
            first,
            linears=tuple(linears),
            factors=state.factors,
            tower=state.tower,
            tower_variant=state.tower_variant,
            normalisation=state.normalisation,
            prior=state.prior,
            half_life_days=state.half_life,
        )


def tower_name(variant: str) -> str:
    """Name of a tower among all scorers."""
    return f"tower {variant}"


def prior_name(half_life: float | None) -> str:
    """Name of a prior among all scorers."""
    return f"prior {half_life}"
