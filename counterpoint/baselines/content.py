"""Content: zero-shot text; items whose text is like that of the history (no training).

score(u, i) = cosine of item i's text vector with the (recency-weighted) mean of those of the
history, after the catalogue's mean vector is taken from all of them: what all texts share says
nothing, and left in it makes the same few items near everyone (Mu and Viswanath, "All-but-the-Top",
2018). It needs no interaction of an item, so it is the baseline for cold items.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydantic import Field

from counterpoint.baselines._linear import recency_weights
from counterpoint.config.base import Section
from counterpoint.histories import Histories

TEXT = True
GRID = ({"recency": (0.0, 1.0, 4.0), "decay": (5.0, 2.0, 20.0)},)
SCORING = ("recency", "decay")


class Config(Section):
    """Options; the defaults weigh all events alike."""

    recency: float = Field(default=0.0, ge=0)
    """Strength a of the event weights 1 + a * exp(-age / decay)."""

    decay: float = Field(default=5.0, gt=0)
    """In positives since the event."""


@dataclass(frozen=True)
class Content:
    """Cosine with the mean of the history.

    Attributes:
        text: (N, T) centred unit vectors, zero for items without text.
        recency: See ``Config``.
        decay: See ``Config``.
    """

    text: npt.NDArray[np.float32]
    recency: float
    decay: float

    def score(self, histories: Histories) -> npt.NDArray[np.float32]:
        """(U, N) cosines."""
        values = recency_weights(histories, self.recency, self.decay)
        history = histories.matrix(len(self.text), values=values, positive_only=True)
        return np.asarray(_unit(history @ self.text) @ self.text.T, dtype=np.float32)


def fit(
    train: Histories, *, n_items: int, config: Config, text: npt.NDArray[np.float32]
) -> Content:
    """Centre the text vectors; nothing is learnt from ``train``. Without text all scores are 0."""
    present = np.any(text != 0, axis=1)
    centred = np.zeros_like(text)
    if present.any():
        centred[present] = _unit(text[present] - text[present].mean(axis=0))
    return Content(centred, config.recency, config.decay)


def _unit(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(norms > 0, norms, 1), dtype=np.float32)
