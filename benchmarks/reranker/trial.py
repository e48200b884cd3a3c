"""One run: train, judge every method on the same pairs, re-rank, time."""

import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import torch

from counterpoint import columns, examples, splits, trainer, training
from counterpoint.bootstrap import paired_interval
from counterpoint.config import Config
from counterpoint.reranker import baselines, blend, metrics
from counterpoint.reranker.baselines import Ratings
from counterpoint.reranker.batches import plain_features
from counterpoint.reranker.distilling import answers_of, train_student
from counterpoint.reranker.examples import Examples, of_fold
from counterpoint.reranker.fit import Fitted, fit
from counterpoint.reranker.model import Reranker
from counterpoint.reranker.student import Student
from counterpoint.reranker.teaching import Pairs, pairs_of
from counterpoint.trial_data import TrialData

RESAMPLES = 1000
RIDGES = (2.0, 5.0, 10.0)
RANKS, PER_RATING = (5, 10), (0.1, 0.2)
TIMED = 200

Floats = npt.NDArray[np.float64]


def measure(settings: Config, data: TrialData, events: int) -> dict[str, Any]:
    """Train on the data and return everything of the page; run it isolated.

    Args:
        settings: ``train`` with a ``reranker``.
        data: MovieLens or other data with values.
        events: Test events that every method judges.
    """
    with trainer.limited_threads(1), tempfile.TemporaryDirectory() as work:
        return _measure(settings, data, events, Path(work))


def _measure(settings: Config, data: TrialData, events: int, work: Path) -> dict[str, Any]:
    known, config = data.read(), settings.train
    wanted = config.reranker
    assert wanted is not None
    drawn = examples.plain_examples(known.interactions, known.users, settings.features)
    started = time.process_time()
    trained = training.fit_parts(
        known.interactions, known.items, known.users, drawn, config, workdir=work
    )
    recommender_seconds = time.process_time() - started
    fitted = fit(trained, known.interactions, drawn, config, workdir=work)
    reranker = fitted.reranker
    test = of_fold(
        known.interactions,
        "test",
        trained.catalogue.index,
        trained.profiles,
        trained.recommender,
        wanted,
        length=config.fit.history_length,
        most=events,
        seed=config.seed,
    )
    students = {"student": reranker.student}
    if fitted.judged is not None:
        units, features = reranker.settings.units, reranker.student.features
        students["student, labels alone"], _ = train_student(
            fitted.train,
            fitted.valid,
            features,
            fitted.scale,
            units,
            wanted,
            seed=config.seed,
        )
    index = trained.catalogue.index
    histories, targets = splits.fold_histories(
        known.interactions, "test", index, attributes=dict(trained.profiles)
    )
    ranked = {}
    for name, student in students.items():
        other = replace(reranker, student=student)
        _, values = blend.choose_weight(
            other, trained.recommender, histories, targets, wanted.weights
        )
        ranked[name] = _ranking(values)
    click, teacher_seconds = _click(fitted, students, test)
    return {
        "protocol": data.split.protocol,
        "report": reranker.report,
        "click": click,
        "rating": _rating(fitted, students, test, known.interactions, index),
        "ranking": ranked,
        "test_users": len(histories),
        "cost": {
            "recommender_cpu_seconds": round(recommender_seconds, 1),
            "reader_ms_per_pair": teacher_seconds and round(1000 * teacher_seconds, 2),
            "student_ms_per_request": round(_student_ms(reranker, fitted, test), 3),
            "student_parameters": sum(p.numel() for p in reranker.student.parameters()),
            "depth": wanted.depth,
        },
    }


def _click(
    fitted: Fitted, students: dict[str, Student], test: Examples
) -> tuple[dict[str, Any], float | None]:
    settings = fitted.reranker.settings
    features = fitted.reranker.student.features
    pairs, learnt = (pairs_of(e, np.arange(len(e))) for e in (test, fitted.train))
    asked, seen = (
        _at(plain_features(e, np.arange(len(e)), features, settings.units, settings.events), p)
        for e, p in ((test, pairs), (fitted.train, learnt))
    )
    label = _at(test.click, pairs) > 0.5
    liked = _at(fitted.train.click, learnt) > 0.5
    methods = {
        "popularity": baselines.logistic(seen, liked, asked, baselines.POPULARITY),
        "logistic regression": baselines.logistic(seen, liked, asked, baselines.CONTENT),
        "recommender's score": baselines.logistic(seen, liked, asked, ("retrieval",)),
        "logistic regression + score": baselines.logistic(seen, liked, asked),
    }
    seconds = None
    if fitted.teacher is not None:
        started = time.process_time()
        methods["reader"] = (
            fitted.teacher.ask(test, pairs, "Ask reader")[:, 0].numpy().astype(float)
        )
        seconds = (time.process_time() - started) / len(pairs)
    for name, student in reversed(students.items()):
        logit, _ = answers_of(student, test, settings.units, settings.events)
        methods[name] = _at(logit, pairs)
    drawn = metrics.Resamples.draw(_users(test)[pairs[:, 0]], resamples=RESAMPLES, seed=0)
    reference = "logistic regression + score"
    table = {
        name: {
            measure: asdict(metrics.measured(measure, guess, label, drawn))
            | {"over": asdict(metrics.compared(measure, guess, methods[reference], label, drawn))}
            for measure in ("auc", "log_loss")
        }
        for name, guess in methods.items()
    }
    facts = {"pairs": len(pairs), "liked": float(label.mean()), "reference": reference}
    return {"methods": table, **facts}, seconds


def _rating(
    fitted: Fitted,
    students: dict[str, Student],
    test: Examples,
    interactions: pl.DataFrame,
    index: dict[str, int],
) -> dict[str, Any]:
    units = fitted.reranker.settings.units
    there = np.isfinite(test.rating[:, 0])
    if not there.any():
        return {}
    truth = test.rating[there, 0].astype(np.float64)
    users = {user: row for row, user in enumerate(interactions[columns.USER].unique().sort())}

    def ratings(folds: tuple[str, ...]) -> Ratings:
        part = interactions.filter(
            pl.col(columns.FOLD).is_in(folds) & pl.col(columns.VALUE).is_not_null()
        )
        return Ratings(
            np.array([users[user] for user in part[columns.USER]], dtype=np.int64),
            np.array([index[item] for item in part[columns.ITEM]], dtype=np.int64),
            part[columns.VALUE].to_numpy().astype(np.float64),
        )

    asked = Ratings(
        np.array([users[user] for user in test.histories.user_ids], dtype=np.int64)[there],
        test.items[there, 0],
        truth,
    )
    known = ratings(splits.HISTORY_FOLDS["test"])
    past, future = ratings(splits.HISTORY_FOLDS["valid"]), ratings(("valid_target",))

    def error(guess: Floats) -> float:
        return float(np.sqrt(np.mean(np.square(guess - future.value))))

    ridge = min(RIDGES, key=lambda l2: error(baselines.biases(past, future, l2=l2)))
    rank, per_rating = min(
        ((k, l2) for k in RANKS for l2 in PER_RATING),
        key=lambda p: error(baselines.factorise(past, future, rank=p[0], l2=p[1], bias_l2=ridge)),
    )
    methods = {
        "mean": np.full(len(truth), known.value.mean()),
        "bias only": baselines.biases(known, asked, l2=ridge),
        "matrix factorisation": baselines.factorise(
            known, asked, rank=rank, l2=per_rating, bias_l2=ridge
        ),
    }

    def told(standard: npt.NDArray) -> Floats:
        guess = units.mean + units.spread * standard[there].astype(np.float64)
        return np.clip(guess, units.low, units.high)

    if fitted.teacher is not None:
        first = np.stack([np.arange(len(test)), np.zeros(len(test), dtype=np.int64)], axis=1)
        methods["reader"] = told(fitted.teacher.ask(test, first, "Ask reader")[:, 1].numpy())
    for name, student in reversed(students.items()):
        _, rating = answers_of(student, test, units, fitted.reranker.settings.events)
        methods[name] = told(rating[:, 0].numpy())
    drawn = metrics.Resamples.draw(_users(test)[there], resamples=RESAMPLES, seed=0)
    table = {
        name: {
            "rmse": asdict(metrics.measured("rmse", guess, truth, drawn))
            | {"over": asdict(metrics.compared("rmse", guess, methods["bias only"], truth, drawn))}
        }
        for name, guess in methods.items()
    }
    return {"methods": table, "ratings": len(truth), "reference": "bias only"}


def _ranking(values: dict[float, Floats]) -> dict[str, Any]:
    return {
        str(weight): {"ndcg": float(found.mean())}
        | asdict(paired_interval(found, values[0.0], resamples=RESAMPLES, confidence=0.95, seed=0))
        for weight, found in values.items()
    }


def _student_ms(reranker: Reranker, fitted: Fitted, test: Examples) -> float:
    """CPU milliseconds of one request: a history and ``depth`` candidates, in torch."""
    judge, depth = reranker.judge(), reranker.settings.depth
    score = np.linspace(1.0, 0.0, depth, dtype=np.float32)[None]
    rng = np.random.default_rng(0)
    started = time.process_time()
    for row in range(TIMED):
        item = rng.choice(len(reranker.statistics), (1, depth), replace=False)
        part = test.histories.take(np.array([row % len(test)]))
        blend.judged(judge, part, item, score, reranker.settings.events)
    return (time.process_time() - started) / TIMED * 1000


def _at(values: npt.NDArray | torch.Tensor, pairs: Pairs) -> Floats:
    return np.asarray(np.asarray(values)[pairs[:, 0], pairs[:, 1]], dtype=np.float64)


def _users(test: Examples) -> npt.NDArray[np.int64]:
    return np.unique(np.array(test.histories.user_ids), return_inverse=True)[1].astype(np.int64)
