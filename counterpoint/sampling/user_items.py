"""Rows of a sparse user-item matrix, on the device of the model."""

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor, nn


class UserItems(nn.Module):
    """Sparse (U, N) matrix as tensors that move with the objective, outside its checkpoint.

    Args:
        matrix: (U, N), e.g. the positives of each user.
    """

    indptr: Tensor
    items: Tensor
    values: Tensor

    def __init__(self, matrix: sp.csr_matrix) -> None:
        super().__init__()
        for name, values in (
            ("indptr", matrix.indptr.astype(np.int64)),
            ("items", matrix.indices.astype(np.int64)),
            ("values", matrix.data.astype(np.float32)),
        ):
            self.register_buffer(name, torch.from_numpy(values), persistent=False)

    def entries(self, users: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return all stored entries of the given users.

        Args:
            users: (B,) int64.

        Returns:
            (Z,) rows of ``users``, (Z,) items and (Z,) values.
        """
        start = self.indptr[users]
        lengths = self.indptr[users + 1] - start
        owner = torch.repeat_interleave(lengths)
        first = lengths.cumsum(0) - lengths
        place = torch.arange(len(owner), device=users.device) - first[owner]
        cells = start[owner] + place
        return owner, self.items[cells], self.values[cells]
