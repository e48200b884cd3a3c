"""Recommenders that have not met the users they score, so that their scores are honest.

What is trained on a recommender's scores must see them as they will be for events that the
recommender did not learn from. So the users of the train fold are parted in two, a recommender is
fitted on each half, and each scores the other half (stacking: Wolpert 1992).
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import polars as pl

from counterpoint import columns, fitting, splits
from counterpoint.config.train import TrainConfig
from counterpoint.histories import Histories
from counterpoint.recommender import Recommender
from counterpoint.training import Trained

HALVES = 2


def half_of(user: str) -> int:
    """Return 0 or 1, the same for a user always."""
    return hashlib.sha256(user.encode()).digest()[0] % HALVES


@dataclass(frozen=True)
class CrossFit:
    """Scores each user by the half that has not met them.

    Attributes:
        halves: Fitted on the users of each half.
    """

    halves: Sequence[Recommender]

    def score(self, histories: Histories) -> npt.NDArray[np.float32]:
        """Return (U, N) scores."""
        half = np.array([half_of(user) for user in histories.user_ids], dtype=np.int64)
        out = np.empty((len(histories), self.halves[0].n_items), dtype=np.float32)
        for number in range(HALVES):
            rows = np.flatnonzero(half == number)
            if len(rows):
                out[rows] = self.halves[HALVES - 1 - number].score(histories.take(rows))
        return out


def fit_halves(
    trained: Trained, interactions: pl.DataFrame, examples: pl.DataFrame, config: TrainConfig
) -> CrossFit:
    """Fit a recommender on the train fold of each half of the users."""
    return CrossFit(
        [
            fit_on_train(trained, _of_half(interactions, n), _of_half(examples, n), config)
            for n in range(HALVES)
        ]
    )


def fit_on_train(
    trained: Trained, interactions: pl.DataFrame, examples: pl.DataFrame, config: TrainConfig
) -> Recommender:
    """Fit a recommender with the chosen settings on the train fold alone.

    Args:
        trained: The settings, and the catalogue.
        interactions: Ordered interactions with ``fold``.
        examples: columns.EXAMPLES.
        config: The rest of the settings.
    """
    choices = trained.choices
    fold = fitting.prepare(interactions, trained.catalogue, trained.profiles, "choose", config)
    fit: splits.Fit = "choose"
    tower, result = fitting.fit_towers(
        fold,
        examples.filter(pl.col(columns.FIT) == fit),
        trained.catalogue,
        fitting.tower_config(config, choices.tower_variant),
        checkpoint=None,
        tensorboard=None,
    )
    if not result.steps:
        choices = replace(choices, tower=0.0)
    module = fitting.assemble(fold, trained.catalogue, tower, choices, trained.tokens, config)
    return replace(trained.recommender, module=module, report={})


def _of_half(frame: pl.DataFrame, number: int) -> pl.DataFrame:
    users = frame[columns.USER].unique()
    chosen = [user for user in users if half_of(user) == number]
    return frame.filter(pl.col(columns.USER).is_in(chosen))
