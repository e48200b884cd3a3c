"""A step whose loss or gradient is not finite: what is kept of it, and how it is computed again."""

import json
from dataclasses import dataclass, fields
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from counterpoint.batches import Batch

FILE = "bad_batch.safetensors"
STATE = "before_bad_batch"
"""Folder, beside the batch, of the checkpoint from before the step."""


@dataclass(frozen=True)
class BadStep:
    """What ``save`` wrote.

    Attributes:
        batch: Of the step.
        step: Its number.
        random_state: The torch seed of the step: ``torch.manual_seed(random_state)`` comes before
            the objectives.
    """

    batch: Batch
    step: int
    random_state: int


def save(folder: Path, bad: BadStep) -> Path:
    """Write the batch of a bad step and return the file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    tensors = {
        field.name: value.cpu().contiguous()
        for field in fields(bad.batch)
        if isinstance(value := getattr(bad.batch, field.name), Tensor)
    }
    described = {"size": bad.batch.size, "step": bad.step, "random_state": bad.random_state}
    save_file(tensors, path, metadata={"step": json.dumps(described)})
    return path


def load(path: Path) -> BadStep:
    """Read what ``save`` wrote."""
    with safe_open(path, framework="pt") as stored:
        described = json.loads(stored.metadata()["step"])
        tensors: dict[str, torch.Tensor] = {name: stored.get_tensor(name) for name in stored.keys()}
    batch = Batch(**tensors, size=described["size"])
    return BadStep(batch, described["step"], described["random_state"])
