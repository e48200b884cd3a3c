"""Tensors that several processes hold in parts (DTensor), and whole ones made of them."""

from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor


def whole(tensor: Tensor) -> Tensor:
    """Return a tensor with the parts of all processes; all of them must ask for it."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def like(value: Tensor, own: Tensor) -> Tensor:
    """Return this process's part of a whole tensor that all have, divided as another one is."""
    if not isinstance(own, DTensor):
        return value
    given = value.to(own.device, own.dtype)
    return distribute_tensor(given, own.device_mesh, own.placements, src_data_rank=None)
