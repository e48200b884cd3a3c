"""The model and its training."""

from typing import Any, Literal

from pydantic import Field

from counterpoint.config.base import Section
from counterpoint.config.towers import FitConfig, TowerConfig

__all__ = [
    "ColdConfig",
    "EncoderConfig",
    "FitConfig",
    "FusionConfig",
    "LinearConfig",
    "PriorConfig",
    "TowerConfig",
    "TrainConfig",
]


class EncoderConfig(Section):
    """The language model that encodes item text."""

    model: str | None = "all-MiniLM-L6-v2"
    """Named weights of counterpoint/assets.py, a local folder, or a model name on a hub; null
    trains without text."""

    max_tokens: int = Field(default=64, ge=4)
    """Tokens of a text beyond this are cut off."""

    batch_size: int = Field(default=64, ge=1)
    """Texts encoded at once."""

    cache: str = "var/assets"
    """Folder of downloaded weights and of cached text vectors (keyed by text and weights hash)."""


class LinearConfig(Section):
    """CEASE: EASE with a text kernel in its Gram matrix and a denoising (EDLAE) diagonal."""

    l2: float = Field(default=200.0, gt=0)
    """Ridge of the closed form."""

    dropout: float = Field(default=0.33, ge=0, lt=1)
    """Share p of the history the denoising diagonal p / (1 - p) stands for."""

    text_weights: tuple[float, ...] = (0.0, 10.0, 30.0)
    """Grid of kernel weights, chosen on validation."""

    recency: tuple[float, ...] = (0.0, 2.0, 4.0)
    """Grid of recency strengths a in 1 + a * exp(-age / decay), chosen on validation."""

    decay: float = Field(default=5.0, gt=0)
    """Decay length of the recency weight, in positives since."""

    max_items: int = Field(default=5_000, ge=1)
    """Only the most frequent items enter the dense solve; the others are left to the tower."""

    row_top: int = Field(default=0, ge=0)
    """Keep this many largest weights per row (0: all)."""


class FusionConfig(Section):
    """Late fusion of the scorers."""

    tower_weights: tuple[float, ...] = (0.0, 0.5, 0.8, 1.2, 2.0)
    """Grid of tower weights, chosen on validation."""

    min_valid_users: int = Field(default=50, ge=1)
    """With fewer validation users the fallback weights are used instead of the noisy choice."""

    fallback_tower_weight: float = Field(default=1.0, ge=0)
    """Weight of the tower where validation is too small to choose one."""

    normalisations: tuple[Literal["all", "top"], ...] = ("all", "top")
    """Grid: scores standardised per user over all unseen items, or each scorer's best 200."""

    max_valid_users: int = Field(default=2000, ge=1)
    """A random sample of this many validation users bounds the cost of the choices."""


class PriorConfig(Section):
    """Popularity and attributes, for users whose history says little."""

    half_lives: tuple[float | None, ...] = (None, 90.0, 30.0, 7.0)
    """Grid of half-lives of the popularity in days (null: none), chosen on validation."""

    weights: tuple[float, ...] = (0.0, 0.25, 0.5, 1.0)
    """Grid of weights beside the tower and the linear part, chosen on validation; the weight is for
    a history of one positive and falls as 2 / (1 + positives)."""

    fallback_weight: float = Field(default=0.5, ge=0)
    """Weight of the prior where validation is too small to choose one."""

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

    boost: float = 1.0
    """Added to the scores of items without interactions, in standard deviations of a scorer."""

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
    prior: PriorConfig = PriorConfig()
    cold: ColdConfig = ColdConfig()
    report: ReportConfig = ReportConfig()
    seed: int = 0
    """Seed of initialisation, dropout and the order of the examples."""
