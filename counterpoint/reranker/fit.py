"""From a trained recommender to a re-ranker: examples, teacher, student, weight."""

import hashlib
import logging
import shutil
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from counterpoint import splits, trainer
from counterpoint.config.reranker import RerankerConfig
from counterpoint.config.train import TrainConfig
from counterpoint.errors import DataError
from counterpoint.recommender import Recommender
from counterpoint.reranker import crossfit, examples
from counterpoint.reranker.batches import plain_features
from counterpoint.reranker.blend import choose_weight
from counterpoint.reranker.distilling import train_student
from counterpoint.reranker.examples import Examples
from counterpoint.reranker.features import PairFeatures
from counterpoint.reranker.loop import Outcome
from counterpoint.reranker.model import Reranker, Settings, features_of
from counterpoint.reranker.statistics import ItemStatistics, Units
from counterpoint.reranker.teaching import Pairs, Teacher, teach
from counterpoint.text import item_texts
from counterpoint.training import Trained

logger = logging.getLogger(__name__)

LEAST_EVENTS = 50
"""With fewer events to learn from, or to validate on, nothing is trained."""

MIN_SPREAD = 1e-3


@dataclass(frozen=True)
class Fitted:
    """A re-ranker and what it was made of.

    Attributes:
        reranker: The result.
        teacher: What it imitates; none: there is no text or no ``reader``.
        honest: The recommender of the train fold alone.
        train: What was learnt from.
        valid: What training was stopped by.
        judged: Pairs of ``train`` and the teacher's answers.
        scale: Mean and standard deviation of the plain features.
    """

    reranker: Reranker
    teacher: Teacher | None
    honest: Recommender
    train: Examples
    valid: Examples
    judged: tuple[Pairs, Tensor] | None
    scale: tuple[Tensor, Tensor]


def fit(
    trained: Trained,
    interactions: pl.DataFrame,
    drawn: pl.DataFrame,
    config: TrainConfig,
    *,
    workdir: Path,
) -> Fitted:
    """Train a re-ranker for a recommender.

    Everything is learnt from the train fold; early stopping and the weight use the validation fold.
    The recommender's scores come from recommenders that have not met the events (crossfit.py).

    Args:
        trained: The recommender and its settings.
        interactions: Ordered interactions with ``fold``; the test folds are not looked at.
        drawn: columns.EXAMPLES of the fits.
        config: ``config.reranker`` must be there.
        workdir: Folder of the checkpoints: a second call with equal data and settings continues
            where a killed one was.

    Raises:
        DataError: There is too little to learn from, or a loss diverged.
    """
    settings = config.reranker
    assert settings is not None
    with trainer.limited_threads(config.fit.threads):
        return _fit(trained, interactions, drawn, config, settings, workdir)


def _fit(
    trained: Trained,
    interactions: pl.DataFrame,
    drawn: pl.DataFrame,
    config: TrainConfig,
    settings: RerankerConfig,
    workdir: Path,
) -> Fitted:
    started = time.process_time()
    index, length = trained.catalogue.index, config.fit.history_length
    halves = crossfit.fit_halves(trained, interactions, drawn, config)
    train = examples.of_training(
        interactions, index, trained.profiles, halves, settings, length=length, seed=config.seed
    )
    honest = crossfit.fit_on_train(trained, interactions, drawn, config)
    valid = examples.of_fold(
        interactions,
        "valid",
        index,
        trained.profiles,
        honest,
        settings,
        length=length,
        most=settings.max_valid,
        seed=config.seed,
    )
    if min(len(train), len(valid)) < LEAST_EVENTS:
        raise DataError(
            f"The re-ranker has {len(train)} events to learn from and {len(valid)} to validate on; "
            f"at least {LEAST_EVENTS} of each are needed. Use train.reranker = null."
        )
    known = splits.fit_events(interactions, "choose")
    units = Units.of(known)
    ratings = bool(np.isfinite(train.rating).any()) and settings.rating > 0
    features = features_of(trained.recommender)
    scale = scale_of(train, features, units, settings)
    prepared = time.process_time()
    folder = workdir / _key(config, train)
    teacher, taught, judged = _teacher(
        trained, train, valid, features, scale, units, settings, config, folder / "reader"
    )
    asked = time.process_time()
    student, learnt = train_student(
        train,
        valid,
        features,
        scale,
        units,
        settings,
        seed=config.seed,
        judged=judged,
        checkpoint=folder / "student",
    )
    counted = ItemStatistics(splits.fit_events(interactions, "final"), index, units)
    empty = ItemStatistics(known.clear(), {"": 0}, units)
    reranker = Reranker(
        student,
        torch.from_numpy(counted.at(np.arange(len(index)), None)),
        torch.from_numpy(empty.at(np.zeros(1, dtype=np.int64), None)[0]),
        Settings(0.0, settings.depth, settings.student.events, ratings, units, settings.student),
    )
    histories, targets = splits.fold_histories(
        interactions, "valid", index, attributes=dict(trained.profiles)
    )
    weight, values = choose_weight(reranker, honest, histories, targets, settings.weights)
    means = {str(tried): round(float(found.mean()), 5) for tried, found in values.items()}
    report: dict[str, Any] = {
        "events": len(train),
        "valid_events": len(valid),
        "valid_users": len(histories),
        "weight": weight,
        "valid_ndcg": means,
        "teacher": taught and asdict(taught),
        "student": asdict(learnt),
        "imitated_pairs": 0 if judged is None else len(judged[0]),
        "cpu_seconds": {
            "examples": round(prepared - started, 2),
            "teacher": round(asked - prepared, 2),
            "rest": round(time.process_time() - asked, 2),
        },
    }
    logger.info("Re-ranker: weight %s, validation NDCG@10 by weight %s", weight, means)
    shutil.rmtree(folder, ignore_errors=True)
    reranker = replace(reranker, settings=replace(reranker.settings, weight=weight), report=report)
    return Fitted(reranker, teacher, honest, train, valid, judged, scale)


def scale_of(
    train: Examples, features: PairFeatures, units: Units, settings: RerankerConfig
) -> tuple[Tensor, Tensor]:
    """Return (K,) means and (K,) standard deviations of the plain features over the pairs."""
    rows = np.arange(len(train))
    found = plain_features(train, rows, features, units, settings.student.events)
    there = found[torch.from_numpy(train.items >= 0)]
    return there.mean(0), there.std(0).clamp(min=MIN_SPREAD)


def _teacher(
    trained: Trained,
    train: Examples,
    valid: Examples,
    features: PairFeatures,
    scale: tuple[Tensor, Tensor],
    units: Units,
    settings: RerankerConfig,
    config: TrainConfig,
    checkpoint: Path,
) -> tuple[Teacher | None, Outcome | None, tuple[Pairs, Tensor] | None]:
    encoder = trained.recommender.settings.encoder
    if settings.reader is None or encoder is None:
        why = "train.reranker.reader is null" if settings.reader is None else "there is no text"
        logger.info("The re-ranker learns from the labels alone: %s", why)
        return None, None, None
    # Heavy, and needed here alone.
    from counterpoint.encoder.loading import load_backbone

    longer = encoder.model_copy(update={"max_tokens": settings.reader.max_tokens})
    tower, tokenizer = load_backbone(longer, attention="sdpa")
    teacher, outcome, pairs = teach(
        tower,
        tokenizer,
        item_texts(trained.catalogue.items),
        train,
        valid,
        features,
        scale,
        units,
        settings,
        seed=config.seed,
        checkpoint=checkpoint,
    )
    if not len(pairs):
        return teacher, outcome, None
    return teacher, outcome, (pairs, teacher.ask(train, pairs, "Ask reader"))


def _key(config: TrainConfig, train: Examples) -> str:
    """Identify data and settings: a checkpoint of anything else is not resumed."""
    digest = hashlib.sha256(config.model_dump_json().encode())
    for part in (train.items, train.statistics, train.retrieval, train.histories.items):
        digest.update(part.tobytes())
    return f"reranker-{digest.hexdigest()[:16]}"
