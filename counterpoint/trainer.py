"""The training loop: seeded, budgeted in steps, checkpointed. It knows no objective by name."""

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter

from counterpoint import checkpoints
from counterpoint.batches import Batch, Examples
from counterpoint.config.train import FitConfig
from counterpoint.errors import DataError
from counterpoint.progress import track
from counterpoint.towers import TwoTower

logger = logging.getLogger(__name__)

WARM_UP = 0.3
"""Share of the steps in which the learning rate rises."""

MAX_GRADIENT_NORM = 1.0

WeightedObjective = tuple[float, Callable[[TwoTower, Batch], Tensor]]


@dataclass
class Curves:
    """Scalars per step."""

    total: list[float] = field(default_factory=list)
    terms: dict[str, list[float]] = field(default_factory=dict)
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


def resolve_device(name: str) -> torch.device:
    """Return the device of a ``device`` setting; ``auto`` prefers CUDA."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


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
        DataError: The loss became NaN or infinite; names the step and the file with the batch.
    """
    started = time.process_time()
    curves = Curves(terms={name: [] for name in objectives})
    if not len(examples):
        return TrainingResult(0, 0, 0.0, curves)
    steps = step_budget(examples.n_users, config)
    device = resolve_device(config.device)
    model.to(device).train()
    optimizer = _optimizer(model, config)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config.learning_rate, total_steps=steps + 1, pct_start=WARM_UP
    )
    first = checkpoints.resume(checkpoint, model, optimizer, schedule, curves)
    half = config.precision == "bfloat16" or (config.precision == "auto" and device.type == "cuda")
    writer = SummaryWriter(str(tensorboard)) if tensorboard else None
    with _isolated(config.threads, device):
        for step in track(range(first, steps), what):
            torch.manual_seed(seed * 1_000_003 + step)
            index = _batch_index(examples, step, seed, config.batch_size)
            batch = examples.batch(index).to(device)
            with torch.autocast(device.type, torch.bfloat16, enabled=half):
                terms = {
                    name: objective(model, batch) for name, (_, objective) in objectives.items()
                }
                loss = torch.stack([objectives[n][0] * term for n, term in terms.items()]).sum()
            if not torch.isfinite(loss):
                _refuse(step, steps, terms, batch, checkpoint)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), MAX_GRADIENT_NORM)
            optimizer.step()
            curves.learning_rate.append(float(schedule.get_last_lr()[0]))
            schedule.step()
            curves.total.append(loss.item())
            for name, term in terms.items():
                curves.terms[name].append(term.item())
            _log(writer, step, curves)
            done = step + 1
            if checkpoint and (done % config.checkpoint_steps == 0 or done == steps):
                checkpoints.save(checkpoint, done, model, optimizer, schedule, curves)
    if writer:
        writer.close()
    model.eval()
    return TrainingResult(steps, first, time.process_time() - started, curves)


def _optimizer(model: TwoTower, config: FitConfig) -> torch.optim.AdamW:
    """AdamW; embeddings and the temperature are not decayed."""
    free = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    free.add(id(model.log_temperature))
    parameters = list(model.parameters())
    groups = [
        {
            "params": [p for p in parameters if id(p) not in free],
            "weight_decay": config.weight_decay,
        },
        {"params": [p for p in parameters if id(p) in free], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate)


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


def _refuse(
    step: int, steps: int, terms: dict[str, Tensor], batch: Batch, folder: Path | None
) -> None:
    values = {name: term.item() for name, term in terms.items()}
    saved = "no checkpoint folder was given, so the batch was not saved"
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "bad_batch.safetensors"
        save_file(
            {
                name: getattr(batch, name).cpu().contiguous()
                for name in ("items", "owner", "age", "positive", "target_items", "target_owner")
            },
            path,
        )
        saved = f"its batch is in {path}"
    raise DataError(
        f"The loss is not finite at step {step} of {steps} ({values}); {saved}. Lower "
        "train.fit.learning_rate, raise train.tower.temperature, or use precision float32."
    )
