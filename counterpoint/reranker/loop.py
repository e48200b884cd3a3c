"""The training loop of teacher and student: seeded, checkpointed, stopped early."""

import logging
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from counterpoint import checkpoints
from counterpoint.errors import DataError
from counterpoint.progress import track
from counterpoint.trainer import Curves

logger = logging.getLogger(__name__)

VALID = "valid"
BEST = "best.safetensors"
MAX_GRADIENT_NORM = 1.0
WARM_UP = 0.1


@dataclass(frozen=True)
class Outcome:
    """What a training run did.

    Attributes:
        steps: Optimiser steps taken.
        best: Step whose weights are kept.
        resumed_at: Step of the checkpoint it continued from, or 0.
        valid: Least loss on validation.
        cpu_seconds: Of this process, in this run.
    """

    steps: int
    best: int
    resumed_at: int
    valid: float
    cpu_seconds: float


def run(
    module: nn.Module,
    groups: list[dict[str, Any]],
    loss: Callable[[int], Tensor],
    judge: Callable[[], float],
    *,
    steps: int,
    evaluate_steps: int,
    patience: int,
    seed: int,
    checkpoint: Path | None,
    what: str,
) -> Outcome:
    """Minimise a loss and leave the weights that were best on validation.

    Every random draw depends on (seed, step) alone, so a resumed run equals an uninterrupted one.

    Args:
        module: Put into training and evaluation mode in turn.
        groups: Parameter groups of the optimiser, each with its peak learning rate ``lr``.
        loss: Step -> loss of its batch.
        judge: Loss on validation.
        steps: Most steps.
        evaluate_steps: Steps between two looks at validation.
        patience: Looks without a better one after which training stops.
        seed: Of dropout.
        checkpoint: Folder to write to and resume from.
        what: Shown beside the progress.

    Raises:
        DataError: The loss became NaN or infinite.
    """
    started = time.process_time()
    learnt = nn.ParameterList([weight for group in groups for weight in group["params"]])
    optimizer = torch.optim.AdamW(groups)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, [group["lr"] for group in groups], total_steps=steps + 1, pct_start=WARM_UP
    )
    curves = Curves(terms={VALID: []})
    first = checkpoints.resume(checkpoint, learnt, optimizer, schedule, curves)
    valid = curves.terms[VALID]
    best = _read_best(checkpoint) if valid else None
    if valid and best is None:
        raise DataError(f"{checkpoint} lacks {BEST}. Delete this folder and train again.")
    done = first
    with torch.random.fork_rng(devices=[]):
        for step in track(range(first, steps), what):
            if _finished(valid, patience):
                break
            torch.manual_seed(seed * 1_000_003 + step)
            module.train()
            value = loss(step)
            if not torch.isfinite(value):
                raise DataError(
                    f"The loss of the re-ranker is not finite at step {step} of {steps} ({what}). "
                    "Lower its learning rate (train.reranker)."
                )
            optimizer.zero_grad(set_to_none=True)
            value.backward()
            nn.utils.clip_grad_norm_(learnt.parameters(), MAX_GRADIENT_NORM)
            optimizer.step()
            schedule.step()
            curves.total.append(float(value.detach()))
            done = step + 1
            if done % evaluate_steps == 0 or done == steps:
                module.eval()
                valid.append(judge())
                if valid[-1] <= min(valid):
                    best = {n: w.detach().clone() for n, w in learnt.state_dict().items()}
                    _write_best(checkpoint, best)
                if checkpoint:
                    checkpoints.save(checkpoint, done, learnt, optimizer, schedule, curves)
    if best is not None:
        learnt.load_state_dict(best)
    module.eval()
    place = valid.index(min(valid)) if valid else 0
    return Outcome(
        steps=done,
        best=min((place + 1) * evaluate_steps, done),
        resumed_at=first,
        valid=min(valid, default=math.nan),
        cpu_seconds=round(time.process_time() - started, 2),
    )


def _finished(valid: list[float], patience: int) -> bool:
    return bool(valid) and len(valid) - 1 - valid.index(min(valid)) >= patience


def _write_best(folder: Path | None, state: dict[str, Tensor]) -> None:
    if folder is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{BEST}.{os.getpid()}"
    save_file({name: value.contiguous() for name, value in state.items()}, temporary)
    os.replace(temporary, folder / BEST)


def _read_best(folder: Path | None) -> dict[str, Tensor] | None:
    path = folder / BEST if folder else None
    return load_file(path) if path is not None and path.is_file() else None
