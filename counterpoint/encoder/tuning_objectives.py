"""What a step of the text encoder minimises: which texts it reads and the loss of their vectors."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from counterpoint.config.encoder import TuneConfig
from counterpoint.encoder import contrast
from counterpoint.encoder.cold_probe import ColdProbe
from counterpoint.encoder.hard_negatives import NONE, HardNegatives
from counterpoint.encoder.item_pairs import Pairs, PairSampler
from counterpoint.encoder.reader import Loss
from counterpoint.encoder.regression import RegressionTask
from counterpoint.encoder.tokens import Rows, TokenTable
from counterpoint.histories import Histories

Objective = Callable[[np.random.Generator], tuple[Rows, Loss]]
"""Draws the texts of a step and returns them with the loss of their vectors."""


@dataclass(frozen=True)
class Task:
    """What an encoder is trained on. R is the number of different texts.

    Attributes:
        table: (R,) tokenised texts.
        row: (N,) row of each item's text; -1: it has none.
        histories: Of the users, over the N items.
        withheld: (N,) items that take no part and are ranked as new ones.
        probe: Ranks them; none: there is too little to look at.
        regression: Items and what a linear model says of them; none: too few.
    """

    table: TokenTable
    row: npt.NDArray[np.int64]
    histories: Histories
    withheld: npt.NDArray[np.bool_]
    probe: ColdProbe | None
    regression: RegressionTask | None


class Objectives:
    """Draws from a task.

    Args:
        task: Texts, users, withheld items.
        config: Weights and shapes of the losses.
        device: Where the losses are computed.

    Attributes:
        active: Those with a weight.
        hard: To be mined before they are drawn.
    """

    def __init__(self, task: Task, config: TuneConfig, device: torch.device) -> None:
        self._task = task
        self._config = config
        self._device = device
        rows = task.histories
        allowed = (task.row >= 0) & ~task.withheld
        inside = allowed[rows.items]
        kept = np.concatenate([[0], np.cumsum(inside)])
        learned = Histories(
            rows.user_ids,
            kept[rows.indptr],
            task.row[rows.items[inside]],
            rows.positive[inside],
            rows.timestamps[inside],
        )
        texts = np.zeros(len(task.table), dtype=np.bool_)
        texts[task.row[allowed]] = True
        self._texts = np.flatnonzero(texts)
        self.sampler = PairSampler(learned, texts, config.pairs)
        self._log_inclusion = log_inclusion(self.sampler.probability(), config.batch_size)
        self.hard = HardNegatives(
            learned.matrix(len(task.table), positive_only=True), texts, config.hard_negatives
        )
        known = (
            (config.regression, self._regress),
            (config.supervised, self._supervise),
            (config.unsupervised, self._view_twice),
        )
        self.active: list[Objective] = [objective for weight, objective in known if weight]

    def lacking(self) -> str:
        """Say what the objectives cannot do without; empty: nothing is missing."""
        if self._config.regression and self._task.regression is None:
            return "fewer than 4 liked items have a text"
        if self._config.supervised and not len(self.sampler):
            return "no user liked two items with a text"
        if self._config.unsupervised and len(self._texts) < 2:
            return "fewer than 2 items that may be learned from have a text"
        return ""

    def _regress(self, random: np.random.Generator) -> tuple[Rows, Loss]:
        task = self._task.regression
        assert task is not None
        items = task.draw(self._config.batch_size, random)
        rows, back = np.unique(task.rows[items], return_inverse=True)
        places = torch.from_numpy(back).to(self._device)
        return rows, lambda vectors: self._config.regression * task.loss(vectors[places], items)

    def _supervise(self, random: np.random.Generator) -> tuple[Rows, Loss]:
        config = self._config
        pairs = self.sampler.draw(config.batch_size, random)
        hard = self.hard.draw(pairs, random)
        rows, places = np.unique(
            np.concatenate([pairs.anchor, pairs.positive]), return_inverse=True
        )
        extra = np.setdiff1d(hard[hard != NONE], rows)
        rows = np.concatenate([rows, extra])
        together = self._positives(pairs, places, rows)
        correction = self._log_inclusion[torch.from_numpy(rows)] if config.logq else None
        if correction is not None:
            # A mined item is in the step because it was mined, not because it is popular.
            correction[len(rows) - len(extra) :] = 0.0
            correction = correction.to(self._device)

        def loss_of(vectors: Tensor) -> Tensor:
            loss = contrast.info_nce(
                vectors,
                together,
                temperature=config.temperature,
                log_inclusion=correction,
                widths=config.matryoshka,
            )
            return config.supervised * loss

        return rows, loss_of

    def _view_twice(self, random: np.random.Generator) -> tuple[Rows, Loss]:
        count = min(self._config.batch_size, len(self._texts))
        rows = random.choice(self._texts, size=count, replace=False)

        def loss_of(vectors: Tensor) -> Tensor:
            first, second = vectors.chunk(2)
            loss = contrast.two_views(first, second, temperature=self._config.temperature)
            return self._config.unsupervised * loss

        return np.tile(rows, 2), loss_of

    def _positives(
        self, pairs: Pairs, places: npt.NDArray[np.int64], rows: npt.NDArray[np.int64]
    ) -> contrast.Positives:
        count = len(pairs)
        local = np.full(len(self._task.table), NONE, dtype=np.int64)
        local[rows] = np.arange(len(rows))
        blocked = np.zeros((count, len(rows)), dtype=np.bool_)
        for pair, user in enumerate(pairs.user):
            known = local[self.sampler.positives(int(user))]
            blocked[pair, known[known != NONE]] = True
        anchor, positive = (torch.from_numpy(p).to(self._device) for p in np.split(places, 2))
        barred = torch.from_numpy(blocked).to(self._device)
        return contrast.Positives(anchor, positive, barred)


def log_inclusion(probability: npt.NDArray[np.float64], batch_size: int) -> Tensor:
    """Return log of the probability that an item is among the 2 x batch_size draws of a step."""
    share = np.clip(probability, 1e-12, 1 - 1e-12)
    inside = -np.expm1(2 * batch_size * np.log1p(-share))
    return torch.from_numpy(np.log(inside).astype(np.float32))
