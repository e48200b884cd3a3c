"""What is summed or exponentiated in half precision would lose its digits."""

import torch
from torch import Tensor


def at_least_single(values: Tensor) -> Tensor:
    """Return half-precision values in float32, others as they are."""
    return values.float() if values.dtype in (torch.bfloat16, torch.float16) else values
