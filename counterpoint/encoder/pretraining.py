"""The loop of masked training: seeded by step, checkpointed."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from counterpoint import checkpoints
from counterpoint.config.pretrain import PretrainConfig
from counterpoint.encoder import masking
from counterpoint.encoder.behaviour_tokens import Behaviour
from counterpoint.encoder.foretelling import Foreteller
from counterpoint.encoder.hidden_histories import Divided, Hiding
from counterpoint.encoder.masking import TaskBatch
from counterpoint.errors import DataError
from counterpoint.progress import track
from counterpoint.trainer import Curves


def run(
    foreteller: Foreteller,
    behaviour: Behaviour,
    divided: Divided,
    hiding: Hiding,
    *,
    seed: int,
    checkpoint: Path,
) -> tuple[Curves, int]:
    """Train; the tower and the head are changed in place.

    Every random draw depends on (seed, step) alone, so a resumed run equals an uninterrupted one.

    Args:
        foreteller: Of the tower.
        behaviour: All histories.
        divided: Which of them are learnt from.
        hiding: How parts are hidden.
        seed: Of histories, masks, negatives and dropout.
        checkpoint: Folder to write to and resume from.

    Returns:
        Loss per step, and the step of the checkpoint that it continued from, or 0.

    Raises:
        DataError: The loss or its gradient became NaN or infinite.
    """
    config = hiding.config
    device = next(foreteller.tower.parameters()).device
    weights = list(foreteller.learning.values())
    optimizer = _optimizer(weights, config)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, _Rate(config))
    curves = Curves(terms={"masked_token": [], "masked_item": []})
    first = checkpoints.resume(checkpoint, foreteller, optimizer, schedule, curves)
    foreteller.train(True)
    for step in track(range(first, config.steps), "Pre-train the encoder"):
        torch.manual_seed(seed * 1_000_003 + step)
        rng = np.random.default_rng((seed, 0, step))
        batch = _batch(behaviour, divided, hiding, rng).to(device)
        loss, terms = foreteller.losses(batch, rng)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(weights, config.max_gradient)
        if not torch.isfinite(loss) or not torch.isfinite(norm):
            values = {name: term.item() for name, term in terms.items()}
            raise DataError(
                f"The loss of pre-training or its gradient is not finite at step {step} of "
                f"{config.steps} ({values}). Lower train.encoder.pretrain.learning_rate, raise "
                "its temperature, or use precision float32."
            )
        curves.learning_rate.append(float(schedule.get_last_lr()[0]))
        optimizer.step()
        schedule.step()
        curves.total.append(loss.item())
        for name, term in terms.items():
            curves.terms[name].append(term.item())
        done = step + 1
        if done % config.checkpoint_steps == 0 or done == config.steps:
            checkpoints.save(checkpoint, done, foreteller, optimizer, schedule, curves)
    foreteller.train(False)
    return curves, first


class _Rate:
    """Rises linearly, then falls linearly, in the peak."""

    def __init__(self, config: PretrainConfig) -> None:
        self.steps = config.steps
        self.warm = config.warmup * config.steps

    def __call__(self, step: int) -> float:
        rising = (step + 1) / (self.warm + 1)
        falling = (self.steps - step) / max(self.steps - self.warm, 1.0)
        return max(0.0, min(1.0, rising, falling))


def _optimizer(weights: list[nn.Parameter], config: PretrainConfig) -> torch.optim.AdamW:
    """AdamW; biases and norms are not decayed."""
    groups = [
        {"params": [w for w in weights if w.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [w for w in weights if w.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate)


def _batch(
    behaviour: Behaviour, divided: Divided, hiding: Hiding, rng: np.random.Generator
) -> TaskBatch:
    """Draw events evenly; each brings the history that it is the newest of."""
    drawn = rng.integers(len(divided.events), size=hiding.config.batch_size)
    tasks = [
        hiding.task(behaviour, int(divided.owners[place]), int(divided.events[place]) + 1, rng)
        for place in drawn
    ]
    return masking.collate(tasks, pad=hiding.pad)
