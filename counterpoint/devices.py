"""Where tensors are computed."""

import torch

from counterpoint.errors import SetupError


def resolve_device(name: str) -> torch.device:
    """Return the device of a ``device`` setting; ``auto`` prefers CUDA.

    Raises:
        SetupError: A GPU is asked for and there is none.
    """
    there = torch.cuda.is_available()
    if name == "cuda" and not there:
        raise SetupError(
            "device is 'cuda', but PyTorch finds no CUDA GPU here. Allowed are auto (a GPU if "
            "there is one), cpu and cuda. On a cluster, cluster.accelerators gives the step one."
        )
    return torch.device(("cuda" if there else "cpu") if name == "auto" else name)
