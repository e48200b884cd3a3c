"""The task of the speed benchmark: texts, users and withheld items of one data set."""

from pathlib import Path

import numpy as np

from counterpoint import splits
from counterpoint.config import Config, SplitConfig
from counterpoint.encoder.item_texts import ItemTexts
from counterpoint.encoder.job import task_of
from counterpoint.encoder.loading import load_backbone
from counterpoint.encoder.trainable import Trainable, choose
from counterpoint.encoder.tuning import Tuner
from counterpoint.encoder.tuning_objectives import Task
from counterpoint.item_catalogue import list_items
from counterpoint.text import item_texts
from counterpoint.trial_data import TrialData

Pairs = tuple[list[str], list[str]]
"""Texts of the anchors and of the positives."""


def load(settings: Config, folder: Path) -> tuple[Trainable, Task, list[str]]:
    """Return the encoder, what it learns from and the different texts."""
    assert settings.train.encoder.tune is not None
    known = TrialData(folder, SplitConfig(protocol="per_user")).read()
    rows = list_items(known.interactions, known.items)
    texts = ItemTexts.of(item_texts(rows))
    tower, tokenizer = load_backbone(settings.train.encoder)
    events = splits.fit_events(known.interactions, "choose")
    task = task_of(rows, texts, events, tokenizer, settings.train)
    return (
        choose(tower, settings.train.encoder.tune.weights, seed=settings.train.seed),
        task,
        [*texts.distinct],
    )


def pairs_of(tuner: Tuner, texts: list[str], step: int, *, count: int, seed: int) -> Pairs:
    """Return the pairs that the tuner draws in a step, as texts."""
    drawn = tuner.objectives.sampler.draw(count, np.random.default_rng([seed, step]))
    return [texts[row] for row in drawn.anchor], [texts[row] for row in drawn.positive]
