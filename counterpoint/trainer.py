"""The training loop: seeded, budgeted in steps, checkpointed. It knows no objective by name."""

import logging
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.tensorboard import SummaryWriter

from counterpoint import checkpoints, divergence
from counterpoint.batches import Examples
from counterpoint.config.towers import FitConfig
from counterpoint.devices import resolve_device
from counterpoint.errors import DataError
from counterpoint.progress import track
from counterpoint.towers import TwoTower
from counterpoint.training_step import Run, WeightedObjective

logger = logging.getLogger(__name__)


@dataclass
class Curves:
    """Scalars per step.

    Attributes:
        total: Weighted loss.
        terms: Of each objective, before its weight.
        weights: Factor of each objective in the total.
        learning_rate: Of the towers.
    """

    total: list[float] = field(default_factory=list)
    terms: dict[str, list[float]] = field(default_factory=dict)
    weights: dict[str, list[float]] = field(default_factory=dict)
    learning_rate: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class TrainingResult:
    """What a training run did.

    Attributes:
        steps: Optimiser steps.
        resumed_at: Step of the checkpoint it continued from, or 0.
        cpu_seconds: Of this process, in this run.
        curves: Loss per step.
    """

    steps: int
    resumed_at: int
    cpu_seconds: float
    curves: Curves


def step_budget(n_users: int, config: FitConfig) -> int:
    """Steps of a fit: the epochs' worth of batches, within the configured bounds."""
    per_epoch = math.ceil(n_users / config.batch_size)
    return min(max(config.epochs * per_epoch, config.min_steps), config.max_steps)


def train(
    model: TwoTower,
    objectives: dict[str, WeightedObjective],
    examples: Examples,
    config: FitConfig,
    *,
    seed: int,
    checkpoint: Path | None = None,
    tensorboard: Path | None = None,
    what: str = "Train towers",
) -> TrainingResult:
    """Minimise the weighted sum of the objectives; the model is changed in place.

    Every random draw depends on (seed, step) alone, so a resumed run equals an uninterrupted one.

    Args:
        model: The towers.
        objectives: name -> (weight, function of model and batch).
        examples: What to learn from; may be empty, then nothing is done.
        config: Steps, batch size, optimiser.
        seed: Of batches and dropout.
        checkpoint: Folder to write to and resume from.
        tensorboard: Folder of the event file.
        what: Shown beside the progress.

    Raises:
        DataError: The loss or its gradient became NaN or infinite; names the step and the files
            with its batch and the state before it (``divergence``).
    """
    started = time.process_time()
    curves = Curves(
        terms={name: [] for name in objectives}, weights={name: [] for name in objectives}
    )
    if not len(examples):
        return TrainingResult(0, 0, 0.0, curves)
    steps = step_budget(examples.n_users, config)
    device = resolve_device(config.device)
    run = Run(model, objectives, config, steps, device)
    first = checkpoints.resume(checkpoint, run.trained, run.optimizer, run.schedule, curves)
    writer = SummaryWriter(str(tensorboard)) if tensorboard else None
    with _isolated(config.threads, device):
        for step in track(range(first, steps), what):
            random_state = seed * 1_000_003 + step
            torch.manual_seed(random_state)
            index = _batch_index(examples, step, seed, config.batch_size)
            batch = examples.batch(index).to(device)
            model.set_progress(step / steps)
            terms, loss, fault = run.gradients(batch)
            if fault:
                bad = divergence.BadStep(batch, step, random_state)
                kept = _keep_bad_step(checkpoint, bad, run, curves)
                raise DataError(
                    f"{fault} is not finite at step {step} of {steps} ("
                    f"{ {name: term.item() for name, term in terms.items()} }); {kept}. Lower "
                    "train.fit.learning_rate, raise train.tower.temperature, or use precision "
                    "float32."
                )
            curves.learning_rate.append(float(run.schedule.get_last_lr()[0]))
            run.move()
            curves.total.append(loss.item())
            for name, term in terms.items():
                curves.terms[name].append(term.item())
            for name, factor in run.weigh.factors().items():
                curves.weights[name].append(factor)
            _log(writer, step, curves)
            done = step + 1
            if checkpoint and (done % config.checkpoint_steps == 0 or done == steps):
                checkpoints.save(checkpoint, done, run.trained, run.optimizer, run.schedule, curves)
    if writer:
        writer.close()
    model.eval()
    return TrainingResult(steps, first, time.process_time() - started, curves)


def _batch_index(
    examples: Examples, step: int, seed: int, batch_size: int
) -> npt.NDArray[np.int64]:
    per_epoch = math.ceil(examples.n_users / batch_size)
    epoch, place = divmod(step, per_epoch)
    return examples.epoch(epoch, seed, batch_size)[place]


@contextmanager
def limited_threads(threads: int) -> Iterator[None]:
    """Let torch use this many threads inside the block; 0 leaves its setting."""
    before = torch.get_num_threads()
    if threads:
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _isolated(threads: int, device: torch.device) -> Iterator[None]:
    """Leave the caller's random state and thread count as they were."""
    cuda = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda), limited_threads(threads):
        yield


def _log(writer: SummaryWriter | None, step: int, curves: Curves) -> None:
    if writer is None:
        return
    writer.add_scalar("loss/total", curves.total[-1], step)
    writer.add_scalar("learning_rate", curves.learning_rate[-1], step)
    for name, values in curves.terms.items():
        writer.add_scalar(f"loss/{name}", values[-1], step)
        writer.add_scalar(f"weight/{name}", curves.weights[name][-1], step)


def _keep_bad_step(folder: Path | None, bad: divergence.BadStep, run: Run, curves: Curves) -> str:
    """Save the batch and the state it met; say where."""
    if folder is None:
        return "no checkpoint folder was given, so the batch was not saved"
    path = divergence.save(folder, bad)
    state = folder / divergence.STATE
    checkpoints.save(state, bad.step, run.trained, run.optimizer, run.schedule, curves)
    return f"its batch is in {path}, the state before it in {state}"
