"""Checkpoints of a training run: safetensors and JSON, written atomically, no pickle."""

import dataclasses
import json
import logging
import os
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from counterpoint.sharded import like, whole

logger = logging.getLogger(__name__)

FILE = "checkpoint.safetensors"


class Stateful(Protocol):
    """What is trained: a module, or anything else that gives its tensors by name."""

    def state_dict(self) -> dict[str, Tensor]:
        """Return the tensors themselves: restoring writes into them."""
        ...


def save(
    folder: Path,
    step: int,
    model: Stateful,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    curves: Any,
    *,
    write: bool = True,
) -> None:
    """Write one file with everything a resumed run needs; the former one stays until it is done.

    Args:
        folder: Of the checkpoint.
        step: Steps done.
        model: Its tensors are stored.
        optimizer: Its moments are stored.
        schedule: Its position is stored.
        curves: Scalars so far, a dataclass of JSON values.
        write: This process writes. Where several hold parts of the tensors all must call, because
            each gives its parts.
    """
    state = optimizer.state_dict()
    tensors: dict[str, Tensor] = {f"model.{n}": t for n, t in model.state_dict().items()}
    for number, moments in state["state"].items():
        for name, value in moments.items():
            tensors[f"optimizer.{number}.{name}"] = torch.as_tensor(value)
    kept: dict[str, Tensor] = {}
    for name, value in tensors.items():
        full = whole(value.detach())
        if write:
            kept[name] = full.cpu().contiguous().clone()
    if not write:
        return
    metadata = {
        "step": step,
        "groups": state["param_groups"],
        "schedule": _plain(schedule.state_dict()),
        "curves": dataclasses.asdict(curves),
    }
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{FILE}.{os.getpid()}"
    save_file(kept, temporary, metadata={"state": json.dumps(metadata)})
    os.replace(temporary, folder / FILE)


def resume(
    folder: Path | None,
    model: Stateful,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    curves: Any,
) -> int:
    """Restore everything in place and return the number of steps done; 0 without a checkpoint."""
    path = folder / FILE if folder else None
    if path is None or not path.is_file():
        return 0
    try:
        with safe_open(path, framework="pt") as stored:
            metadata = json.loads(stored.metadata()["state"])
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        logger.warning("Checkpoint %s is damaged (%s): training starts anew", path, error)
        return 0
    own = {f"model.{name}": value for name, value in model.state_dict().items()}
    known = {name for name in tensors if name.startswith("model.")}
    if known != set(own) or any(tensors[n].shape != value.shape for n, value in own.items()):
        logger.warning("Checkpoint %s is of another model: training starts anew", path)
        return 0
    with torch.no_grad():
        for name, value in own.items():
            value.copy_(like(tensors[name], value))
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    moments: dict[int, dict[str, Any]] = {}
    for key, value in tensors.items():
        part, _, rest = key.partition(".")
        if part == "optimizer":
            number, _, name = rest.partition(".")
            weight = weights[int(number)]
            part_of_it = like(value, weight) if value.shape == weight.shape else value
            moments.setdefault(int(number), {})[name] = part_of_it
    optimizer.load_state_dict({"state": moments, "param_groups": metadata["groups"]})
    schedule.load_state_dict(metadata["schedule"])
    for name, values in metadata["curves"].items():
        setattr(curves, name, values)
    logger.info("Training continues at step %d from %s", metadata["step"], path)
    return int(metadata["step"])


def _plain(state: dict[str, Any]) -> dict[str, Any]:
    """Keep what JSON can hold; the rest is rebuilt by the constructor."""
    return {
        key: value
        for key, value in state.items()
        if isinstance(value, int | float | str | bool | list) or value is None
    }
