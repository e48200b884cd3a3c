"""The model and its training."""

from typing import Annotated, Any

from pydantic import Field

from counterpoint.config.base import Section
from counterpoint.config.encoder import EncoderConfig
from counterpoint.config.fusion import ChoiceConfig, FusionConfig, TowerVariant
from counterpoint.config.linear import LinearConfig, LinearForm, Weighting
from counterpoint.config.reranker import RerankerConfig
from counterpoint.config.towers import FitConfig, TowerConfig

__all__ = [
    "ChoiceConfig",
    "ColdConfig",
    "EncoderConfig",
    "FactorsConfig",
    "FitConfig",
    "FusionConfig",
    "LinearConfig",
    "LinearForm",
    "PriorConfig",
    "RerankerConfig",
    "TowerConfig",
    "TowerVariant",
    "TrainConfig",
    "Weighting",
]


class FactorsConfig(Section):
    """iALS, a candidate of the fusion: matrix factorisation suits sparse data."""

    dim: int = Field(default=64, ge=1)
    """Width of the factors."""

    confidence: float = Field(default=3.0, gt=0)
    """Weight of a positive; anything else has weight 1."""

    l2: float = Field(default=10.0, gt=0)
    """Ridge."""

    iterations: int = Field(default=15, ge=1)
    """Sweeps over users and items."""

    weights: tuple[float, ...] = (0.0, 0.5, 1.0)
    """Grid of its weight, chosen on validation; with 0 alone it is never fitted."""


class PriorConfig(Section):
    """Popularity and attributes, for users whose history says little."""

    half_lives: tuple[float | None, ...] = (None, 90.0, 30.0, 7.0)
    """Grid of half-lives of the popularity in days (null: none), chosen on validation."""

    weights: tuple[float, ...] = (0.0, 0.25, 0.5, 1.0)
    """Grid of weights beside the tower and the linear part, chosen on validation; the weight is for
    a history of one positive and falls as 2 / (1 + positives)."""

    fallback_weight: float = Field(default=0.5, ge=0)
    """Start of the choice, and the weight of the prior for small data sets."""

    shrinkage: float = Field(default=500.0, gt=0)
    """Pseudo-positives that pull the item shares of an attribute towards the overall ones."""

    min_users: int = Field(default=5, ge=1)
    """An attribute of fewer users is not used."""

    max_attributes: int = Field(default=256, ge=1)
    """Only the most frequent attributes are used."""

    diversity: float = Field(default=1.0, ge=0)
    """How much rarer an item may be to go before a double of an earlier one on the start page, as a
    log ratio (0: the plain order of popularity); see start_page.py."""


class ColdConfig(Section):
    """Kernel-ridge extension to items without interactions."""

    ridge: float = Field(default=5.0, gt=0)
    """Ridge of the kernel regression."""

    attribute_weight: float = Field(default=0.5, ge=0)
    """Weight of shared attributes beside the text in the kernel."""

    modality_weight: float = Field(default=1.0, ge=0)
    """Weight of the vectors of a modality beside the text in the kernel."""

    modality_weights: dict[str, Annotated[float, Field(ge=0)]] = {}
    """Name of a modality -> its weight instead of ``modality_weight``."""

    boost: float = 0.0
    """Start of the choice: added to the scores of items without interactions, in standard
    deviations of the user's scores."""

    max_items: int = Field(default=20_000, ge=1)
    """The regression is fitted on this many most popular items: more do not change what a few
    hundred features can say, and each costs their square in the fit."""

    max_attributes: int = Field(default=512, ge=0)
    """Only the most frequent item attributes are used."""


class ReportConfig(Section):
    """What the train stage draws."""

    map_items: int = Field(default=3000, ge=0)
    """The most popular items on the embedding map; 0 draws none."""


class TrainConfig(Section):
    """Everything the train stage reads."""

    encoder: EncoderConfig = EncoderConfig()
    tower: TowerConfig = TowerConfig()
    objectives: dict[str, dict[str, Any]] = {"info_nce": {}}
    """Plugin of counterpoint/objectives -> its options; ``weight`` (default 1) scales the term."""

    fit: FitConfig = FitConfig()
    linear: LinearConfig = LinearConfig()
    fusion: FusionConfig = FusionConfig()
    choices: ChoiceConfig = ChoiceConfig()
    factors: FactorsConfig = FactorsConfig()
    prior: PriorConfig = PriorConfig()
    cold: ColdConfig = ColdConfig()

    reranker: RerankerConfig | None = None
    """A second look at the best items, see docs/reranking.md; null: none."""

    report: ReportConfig = ReportConfig()
    seed: int = 0
    """Seed of initialisation, dropout and the order of the examples."""
