"""iALS: matrix factorisation of implicit feedback by alternating least squares.

Hu, Koren and Volinsky (2008), as strong as later methods once tuned (Rendle et al., 2022). Every
history is folded in by the training's own least squares, known and new users alike.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from pydantic import Field

from counterpoint import ials
from counterpoint.config.base import Section
from counterpoint.histories import Histories

if TYPE_CHECKING:
    from implicit.cpu.als import AlternatingLeastSquares

GRID = (
    {"l2": (30.0, 1.0, 10.0, 100.0), "confidence": (10.0, 3.0, 5.0, 20.0)},
    {"factors": (64, 32, 128)},
)


class Config(Section):
    """Options; the defaults are the best of a small grid on MovieLens-100K validation."""

    factors: int = Field(default=64, ge=1)
    """Width of the factors."""

    confidence: float = Field(default=10.0, gt=1)
    """Weight of a liked item; any other weighs 1."""

    l2: float = Field(default=30.0, gt=0)
    """Ridge on users and items."""

    iterations: int = Field(default=15, ge=1)
    """Sweeps over users and items."""

    seed: int = 0
    """Of the initial factors."""


@dataclass(frozen=True)
class Ials:
    """Fitted factors.

    Attributes:
        model: Of ``ials.factorise``.
        n_items: N.
    """

    model: "AlternatingLeastSquares"
    n_items: int

    def score(self, histories: Histories) -> npt.NDArray[np.float32]:
        """(U, N) scores of folded-in histories; an empty one scores 0 everywhere."""
        return ials.fold_in(self.model, histories.matrix(self.n_items, positive_only=True))


def fit(train: Histories, *, n_items: int, config: Config) -> Ials:
    """Factorise the positives."""
    liked = train.matrix(n_items, positive_only=True)
    model = ials.factorise(
        liked,
        factors=config.factors,
        confidence=config.confidence,
        l2=config.l2,
        iterations=config.iterations,
        seed=config.seed,
    )
    return Ials(model, n_items)
