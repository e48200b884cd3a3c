"""Weights, gradients and moments of an encoder divided among processes (FSDP).

PyTorch's ``fully_shard`` (Zhao et al. 2023, *PyTorch FSDP*): each process keeps one part of every
block and has the block whole only while it computes with it.
"""

from typing import Any

import torch
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from counterpoint.encoder import blocks
from counterpoint.encoder.ranks import Ranks
from counterpoint.encoder.trainable import Trainable
from counterpoint.sharded import whole


def shard(trainable: Trainable, group: Ranks, device: torch.device) -> None:
    """Divide the weights of a tower among the processes; the tower is changed.

    From now on all processes must take the same number of passes, because each needs the parts of
    the others.

    Args:
        trainable: On the CPU; block after block moves to the device.
        group: The processes, more than one.
        device: Where the tower will compute.
    """
    tower = trainable.tower
    mesh = init_device_mesh(device.type, (group.world,))
    divided: list[Any] = [fully_shard(block, mesh=mesh) for block in blocks.find(tower.backbone)]
    # At once as of the blocks; by default what is left of the tower stays whole after a forward
    # pass, and would then be what the tower names as its weights.
    divided.append(fully_shard(tower, mesh=mesh, reshard_after_forward=True))
    for part in divided:
        # The loss is that of all texts, so the gradients add up; the default is their mean. A plain
        # sum, because gloo knows no scaled one.
        part.set_force_sum_reduction_for_comms(True)
        part.set_gradient_divide_factor(1.0)
    trainable.sharded = True


def gather(trainable: Trainable) -> dict[str, Tensor]:
    """Return what learns, whole, on the CPU; every process must ask for it."""
    return {name: whole(value).cpu() for name, value in trainable.state_dict().items()}
