"""How the scorers are fused, and how much may be spent on choosing it."""

from typing import Literal

from pydantic import Field

from counterpoint.config.base import Section


class FusionConfig(Section):
    """Late fusion: a weighted sum of per-user standardised scores.

    The first settings are where the choice starts and what small data sets get; the grids are what
    is tried on validation.
    """

    linear: str = "sequential/recent"
    """Start: ``form/weighting`` of train.linear."""

    linear_weight: float = Field(default=1.0, ge=0)
    """Weight of the linear part; not chosen, for only proportions matter. 0 leaves it out."""

    tower: float = Field(default=1.5, ge=0)
    """Start: weight of the tower."""

    normalisation: Literal["all", "top"] = "top"
    """Start: standardised over all unseen items (``all``) or over each scorer's best 200."""

    tower_weights: tuple[float, ...] = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0)
    """Grid of tower weights."""

    second_weights: tuple[float, ...] = (0.5, 1.0)
    """Grid of weights of a second linear part; none is always tried."""

    normalisations: tuple[Literal["all", "top"], ...] = ("all", "top")
    """Grid of normalisations."""


class TowerVariant(Section):
    """A tower that is trained beside the configured one, to choose between them."""

    steps: float = Field(default=1.0, gt=0)
    """Optimiser steps, relative to train.fit."""

    text_gate: float | None = Field(default=None, ge=0)
    """Instead of train.tower.text_gate; null keeps it."""

    modality_gate: float | None = Field(default=None, ge=0)
    """Instead of the weight of every modality; null keeps them."""


class ChoiceConfig(Section):
    """The choice of the settings on the validation fold."""

    budget_seconds: float = Field(default=120.0, ge=0)
    """CPU seconds the choice may take, by an estimate from the sizes of the data (so that equal
    data get equal choices on any machine). 0: nothing is tried, the starting settings are used."""

    towers: dict[str, TowerVariant] = {
        "longer": TowerVariant(steps=2.0),
        "without_text": TowerVariant(text_gate=0.0),
        "without_modalities": TowerVariant(modality_gate=0.0),
    }
    """Name -> tower tried beside the configured one, in this order, as far as the budget goes; one
    that differs only in what the items do not have is left out."""

    min_valid_users: int = Field(default=50, ge=1)
    """With fewer validation users the last positives of every user are held out as well."""

    max_valid_users: int = Field(default=2000, ge=1)
    """A random sample of this many validation users bounds the cost of the choices."""

    rounds: int = Field(default=2, ge=1)
    """Passes over the settings of the fusion; each pass looks at one setting after the other."""

    max_cold_share: float = Field(default=0.01, ge=0, lt=1)
    """Share of the first ten places (weighted by their discount) that cold items may take."""

    cold_boosts: tuple[float, ...] = (-1.0, -0.5, -0.25, 0.0, 0.25, 0.5, 0.75, 1.0, 1.5)
    """Grid of the boost of cold items, in standard deviations of the user's scores."""
