"""Trains the student on labels and on its teacher's judgements."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from counterpoint.config.reranker import RerankerConfig
from counterpoint.reranker import loop, objective, plain_start
from counterpoint.reranker.batches import batch
from counterpoint.reranker.examples import Examples
from counterpoint.reranker.features import PairFeatures
from counterpoint.reranker.statistics import Units
from counterpoint.reranker.student import Student
from counterpoint.reranker.teaching import Pairs

AT_ONCE = 256
"""Events judged at once."""


def train_student(
    train: Examples,
    valid: Examples,
    features: PairFeatures,
    scale: tuple[Tensor, Tensor],
    units: Units,
    config: RerankerConfig,
    *,
    seed: int,
    judged: tuple[Pairs, Tensor] | None = None,
    checkpoint: Path | None = None,
) -> tuple[Student, loop.Outcome]:
    """Train a student.

    Args:
        train: To learn from.
        valid: To stop by, on its labels alone.
        features: Plain features and texts.
        scale: (K,) mean and (K,) standard deviation of the plain features.
        units: Of the ratings.
        config: The student's settings.
        seed: Of initialisation, order and dropout.
        judged: Pairs of ``train`` and the teacher's (P, 2) answers; none: the labels alone.
        checkpoint: Folder to write to and resume from.
    """
    wanted = config.student
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        student = Student(features, wanted, *scale)
    plain_start.begin(student.wide, train, features, scale, units, config)
    per_epoch = math.ceil(len(train) / wanted.batch_size)
    imitated = None if judged is None or not wanted.imitation else _by_event(train, *judged)

    def loss(step: int) -> Tensor:
        epoch, place = divmod(step, per_epoch)
        order = np.random.default_rng((seed, epoch)).permutation(len(train))
        rows = order[place * wanted.batch_size : (place + 1) * wanted.batch_size]
        given = batch(train, rows, wanted.events, units)
        logit, rating = student(given.history, given.kind, given.candidate, given.told)
        total = objective.labelled(
            logit, rating, given.click, given.rating, rating_weight=config.rating
        )
        if imitated is not None:
            events, answers = imitated
            rng = np.random.default_rng((seed, step, 1))
            some = rng.choice(len(events), min(len(events), wanted.batch_size), replace=False)
            given = batch(train, events[some], wanted.events, units)
            logit, rating = student(given.history, given.kind, given.candidate, given.told)
            total = total + wanted.imitation * objective.imitating(
                logit, rating, answers[torch.from_numpy(some)], rating_weight=config.rating
            )
        return total

    def judge() -> float:
        logit, rating = answers_of(student, valid, units, wanted.events)
        labels = batch(valid, np.arange(len(valid)), wanted.events, units)
        return float(
            objective.labelled(
                logit, rating, labels.click, labels.rating, rating_weight=config.rating
            )
        )

    outcome = loop.run(
        student,
        [
            {
                "params": list(student.parameters()),
                "lr": wanted.learning_rate,
                "weight_decay": wanted.weight_decay,
            }
        ],
        loss,
        judge,
        steps=wanted.epochs * per_epoch,
        evaluate_steps=wanted.evaluate_steps,
        patience=wanted.patience,
        seed=seed,
        checkpoint=checkpoint,
        what="Train student",
    )
    return student.requires_grad_(False).eval(), outcome


def answers_of(
    student: Student, examples: Examples, units: Units, events: int
) -> tuple[Tensor, Tensor]:
    """Return (G, C) logits and (G, C) ratings of all events, in standard deviations."""
    found: list[Sequence[Tensor]] = []
    rows = np.arange(len(examples))
    student.eval()
    with torch.inference_mode():
        for part in np.split(rows, range(AT_ONCE, len(rows), AT_ONCE)):
            given = batch(examples, part, events, units)
            found.append(student(given.history, given.kind, given.candidate, given.told))
    logit, rating = zip(*found, strict=True)
    return torch.cat(logit), torch.cat(rating)


def _by_event(
    train: Examples, pairs: Pairs, answers: Tensor
) -> tuple[npt.NDArray[np.int64], Tensor]:
    """Return (E,) events and (E, C, 2) answers, NaN where the teacher was not asked."""
    events, place = np.unique(pairs[:, 0], return_inverse=True)
    told = torch.full((len(events), train.items.shape[1], 2), torch.nan)
    told[torch.from_numpy(place), torch.from_numpy(pairs[:, 1])] = answers
    return events, told
