"""Trains the reader on pairs, and asks it for what the student imitates."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from counterpoint.config.reranker import RerankerConfig
from counterpoint.encoder.backbone import TextTower
from counterpoint.encoder.trainable import choose
from counterpoint.progress import track
from counterpoint.reranker import loop, objective, plain_start
from counterpoint.reranker.batches import plain_features
from counterpoint.reranker.examples import NONE, Examples
from counterpoint.reranker.features import PairFeatures
from counterpoint.reranker.reader import Reader, Texts
from counterpoint.reranker.statistics import Units

Pairs = npt.NDArray[np.int64]
"""(P, 2): event and column of each pair."""

JUDGED_AT_ONCE = 64

CENTRED = 256
"""Pairs by which pooled states are standardised."""


def pairs_of(examples: Examples, rows: npt.NDArray[np.int64]) -> Pairs:
    """Return all pairs of some events, event after event."""
    place, column = np.nonzero(examples.items[rows] != NONE)
    return np.stack([rows[place], column], axis=1)


@dataclass
class Teacher:
    """A reader with what it needs to read.

    Attributes:
        reader: The module.
        texts: Writes pairs out.
        features: Plain features of pairs.
        units: Of the ratings.
        events: Newest events that the plain features look at.
    """

    reader: Reader
    texts: Texts
    features: PairFeatures
    units: Units
    events: int

    def ask(self, examples: Examples, pairs: Pairs, what: str | None = None) -> Tensor:
        """Return (P, 2) logits and ratings, without gradients; texts of like length together."""
        out = torch.full((len(pairs), 2), torch.nan)
        told, written = self._plain(examples, pairs), self.written(examples, pairs)
        order = np.argsort([len(text) for text in written], kind="stable")
        parts = np.split(order, range(JUDGED_AT_ONCE, len(order), JUDGED_AT_ONCE))
        with torch.inference_mode():
            for part in track(parts, what) if what else parts:
                out[part] = self._read(
                    examples, pairs[part], [written[i] for i in part], told[part]
                )
        return out

    def loss(self, examples: Examples, pairs: Pairs, rating: float) -> Tensor:
        """Return the loss over some pairs."""
        written, told = self.written(examples, pairs), self._plain(examples, pairs)
        found = self._read(examples, pairs, written, told)
        return self.loss_of(found, examples, pairs, rating)

    def loss_of(self, found: Tensor, examples: Examples, pairs: Pairs, rating: float) -> Tensor:
        """Return the loss of (P, 2) answers."""
        event, column = pairs.T
        rated = (examples.rating[event, column] - self.units.mean) / self.units.spread
        return objective.labelled(
            found[:, 0],
            found[:, 1],
            torch.from_numpy(examples.click[event, column]),
            torch.from_numpy(rated.astype(np.float32)),
            rating_weight=rating,
        )

    def _read(
        self, examples: Examples, pairs: Pairs, written: Sequence[str], told: Tensor
    ) -> Tensor:
        ids, mask = self.texts.tokens(written, examples.items[pairs[:, 0], pairs[:, 1]])
        found: Tensor = self.reader(ids, mask, told)
        return found

    def written(self, examples: Examples, pairs: Pairs) -> list[str]:
        """Return the texts of the histories of some pairs."""
        texts: dict[int, str] = {}
        for event in pairs[:, 0].tolist():
            if event not in texts:
                texts[event] = self.texts.history(examples.histories, event)
        return [texts[event] for event in pairs[:, 0].tolist()]

    def _plain(self, examples: Examples, pairs: Pairs) -> Tensor:
        """Return (P, K) plain features."""
        rows, place = np.unique(pairs[:, 0], return_inverse=True)
        with torch.inference_mode():
            found = plain_features(examples, rows, self.features, self.units, self.events)
        return found[torch.from_numpy(place), torch.from_numpy(pairs[:, 1])].clone()


def teach(
    tower: TextTower,
    tokenizer: PreTrainedTokenizerBase,
    items: Sequence[str],
    train: Examples,
    valid: Examples,
    features: PairFeatures,
    scale: tuple[Tensor, Tensor],
    units: Units,
    config: RerankerConfig,
    *,
    seed: int,
    checkpoint: Path | None,
) -> tuple[Teacher, loop.Outcome, Pairs]:
    """Train the reader; the tower is changed.

    Args:
        tower: Freshly loaded.
        tokenizer: Its tokenizer.
        items: N item texts.
        train: To learn from.
        valid: To stop by.
        features: Plain features.
        scale: (K,) mean and (K,) standard deviation of the plain features.
        units: Of the ratings.
        config: The reader's settings; there must be some.
        seed: Of initialisation, order and dropout.
        checkpoint: Folder to write to and resume from.

    Returns:
        The teacher, how training went, and pairs that it has not learnt from, as many as the
        student is to imitate.
    """
    wanted = config.reader
    assert wanted is not None
    order = np.random.default_rng(seed).permutation(len(train))
    learnt = pairs_of(train, order)
    trainable = choose(tower, wanted.weights, seed=seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        reader = Reader(tower, wanted, *scale)
    plain_start.begin(reader.wide, train, features, scale, units, config)
    teacher = Teacher(
        reader, Texts(items, tokenizer, wanted), features, units, config.student.events
    )
    first = learnt[:CENTRED]
    with torch.inference_mode():
        ids, mask = teacher.texts.tokens(
            teacher.written(train, first), train.items[first[:, 0], first[:, 1]]
        )
        reader.eval().centre_on(tower(ids, mask))
    used = min(len(learnt), wanted.max_steps * wanted.batch_size)
    some = np.random.default_rng(seed).permutation(len(valid))
    judged = pairs_of(valid, some)[: wanted.valid_pairs]

    def loss(step: int) -> Tensor:
        place = np.arange(step * wanted.batch_size, (step + 1) * wanted.batch_size) % len(learnt)
        return teacher.loss(train, learnt[place], config.rating)

    def judge() -> float:
        found = teacher.ask(valid, judged)
        return float(teacher.loss_of(found, valid, judged, config.rating))

    own = [w for name, w in reader.named_parameters() if not name.startswith("tower.")]
    outcome = loop.run(
        reader,
        [
            {"params": list(trainable.parameters().values()), "lr": wanted.learning_rate},
            {"params": own, "lr": wanted.head_learning_rate},
        ],
        loss,
        judge,
        steps=wanted.max_steps,
        evaluate_steps=wanted.evaluate_steps,
        patience=wanted.patience,
        seed=seed,
        checkpoint=checkpoint,
        what="Train reader",
    )
    left = learnt[used:] if len(learnt) - used >= wanted.transfer_pairs else learnt[::-1]
    reader.tower = trainable.merge()
    return teacher, outcome, left[: wanted.transfer_pairs]
