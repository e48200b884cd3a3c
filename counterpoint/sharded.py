"""Tensors that several processes hold in parts (DTensor), and whole ones made of them."""

import sys
from typing import Any

from torch import Tensor


def whole(tensor: Tensor) -> Tensor:
    """Return a tensor with the parts of all processes; all of them must ask for it."""
    if not _is_divided(tensor):
        return tensor
    divided: Any = tensor
    full: Tensor = divided.full_tensor()
    return full


def like(value: Tensor, own: Tensor) -> Tensor:
    """Return this process's part of a whole tensor that all have, divided as another one is."""
    if not _is_divided(own):
        return value
    from torch.distributed.tensor import distribute_tensor

    divided: Any = own
    given = value.to(own.device, own.dtype)
    return distribute_tensor(given, divided.device_mesh, divided.placements, src_data_rank=None)


def _is_divided(tensor: Tensor) -> bool:
    # Importing the library takes most of a second; whoever divided something has done it.
    library = sys.modules.get("torch.distributed.tensor")
    return library is not None and isinstance(tensor, library.DTensor)
