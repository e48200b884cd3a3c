"""The settings of a fit that are chosen on validation, and where the choice starts."""

from dataclasses import asdict, dataclass, field
from typing import Any

from counterpoint.config.linear import LinearForm, Weighting
from counterpoint.config.train import TrainConfig
from counterpoint.errors import ConfigError
from counterpoint.fusion import FusionWeights, Normalisation

CONFIGURED = "configured"
"""Name of the tower of train.tower, beside those of train.choices.towers."""

ENOUGH_USERS = 300
"""With fewer training users the towers have too little to learn from to start at full weight."""


@dataclass(frozen=True)
class LinearPart:
    """A linear scorer of the fusion.

    Attributes:
        name: ``form/weighting`` of train.linear, with ``*factor`` after a form of another ridge.
        form: What is solved.
        weighting: How the history weighs.
    """

    name: str
    form: LinearForm
    weighting: Weighting


@dataclass(frozen=True)
class Choices:
    """The settings of a final fit.

    Attributes:
        linears: Linear parts and their weights.
        factors: Weight of the matrix factorisation; 0: none.
        tower: Weight of the tower.
        tower_variant: ``configured`` or a name of train.choices.towers.
        normalisation: How scores are made comparable.
        prior: Weight of the prior.
        half_life_days: Of the popularity.
        boost: Added to the scores of cold items.
    """

    linears: tuple[tuple[LinearPart, float], ...]
    factors: float
    tower: float
    tower_variant: str
    normalisation: Normalisation
    prior: float
    half_life_days: float | None
    boost: float

    def fusion(self) -> FusionWeights:
        """The weights of the sum."""
        shares = tuple(share for _, share in self.linears)
        return FusionWeights(self.normalisation, shares, self.factors, self.tower, self.prior)

    def report(self) -> dict[str, Any]:
        """The choices as plain values."""
        plain = {name: value for name, value in asdict(self).items() if name != "linears"}
        return {"linear": {part.name: share for part, share in self.linears}} | plain


@dataclass(frozen=True)
class Found:
    """What was tried and what was taken.

    Attributes:
        choices: Taken.
        ndcg: Validation NDCG@10 of the taken fusion; None without validation.
        start_ndcg: That of the starting settings.
        users: Validation users it rests on.
        why: One sentence.
        tried: One record per candidate with its mean NDCG@10.
        skipped: What the budget did not allow.
        silent: Modalities that are left out for new items.
    """

    choices: Choices
    ndcg: float | None
    start_ndcg: float | None
    users: int
    why: str
    tried: list[dict[str, Any]] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)


def linear_parts(config: TrainConfig, *, has_text: bool) -> dict[str, LinearPart]:
    """Return ``form/weighting`` -> part for every combination of the configuration.

    Without text a form has no kernel.
    """
    parts = {}
    for form_name, form in config.linear.forms.items():
        solved = form if has_text else form.model_copy(update={"text_weight": 0.0})
        for weighting_name, weighting in config.linear.weightings.items():
            name = f"{form_name}/{weighting_name}"
            parts[name] = LinearPart(name, solved, weighting)
    return parts


def start(config: TrainConfig, *, has_text: bool, train_users: int) -> Choices:
    """Return the settings that stand unless validation clearly speaks for others.

    Args:
        config: train.fusion, train.prior and train.cold.
        has_text: Whether the items have text vectors.
        train_users: The tower's weight grows with them up to ``ENOUGH_USERS``.

    Raises:
        ConfigError: train.fusion.linear names no form or no weighting.
    """
    parts = linear_parts(config, has_text=has_text)
    if config.fusion.linear not in parts:
        raise ConfigError(
            [
                f"train.fusion.linear = {config.fusion.linear!r} is not a `form/weighting` of "
                f"train.linear. Known: {', '.join(parts)}."
            ]
        )
    return Choices(
        linears=((parts[config.fusion.linear], config.fusion.linear_weight),),
        factors=0.0,
        tower=config.fusion.tower * min(1.0, train_users / ENOUGH_USERS),
        tower_variant=CONFIGURED,
        normalisation=config.fusion.normalisation,
        prior=config.prior.fallback_weight,
        half_life_days=config.prior.half_lives[0],
        boost=config.cold.boost,
    )
