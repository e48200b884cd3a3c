"""Half precision: where it pays, and what would lose its digits in it."""

from typing import Any

import torch
from torch import Tensor

from counterpoint.config.encoder import Precision


def at_least_single(values: Tensor) -> Tensor:
    """Return half-precision values in float32, others as they are."""
    return values.float() if values.dtype in (torch.bfloat16, torch.float16) else values


def in_bfloat16(precision: Precision, device: torch.device) -> bool:
    """Whether products are computed in bfloat16; ``auto``: where that is faster.

    Args:
        precision: As configured.
        device: Where they are computed.
    """
    return precision == "bfloat16" or (precision == "auto" and _fast(device))


def _fast(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 matrices itself; elsewhere it is slower than float."""
    if device.type != "cpu":
        return True
    able: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(able.get(name, False) for name in ("avx512_bf16", "amx_bf16"))
