"""Neighbour smoothing of user vectors over training users, for new users too."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from counterpoint.batches import history_batch
from counterpoint.histories import Histories

CHUNK = 256
"""Training users whose vectors are computed at once."""


class Landmarks(nn.Module):
    """Mixes the vectors of similar training users into a user vector.

    ``x' = normalise((1 - a) x + a sum_l softmax_l(<x, x_l> / t) x_l)``: one step of kernel
    smoothing (Nadaraya 1964, Watson 1964) on the graph of the users, whose edges are the
    similarities of the learned vectors; the objective ``user_similarity`` fits these to the
    similarity of the users' interactions. A new user needs nothing but the own vector, so the same
    step runs in service.

    Args:
        vectors: (L, d) unit vectors of training users.
        share: a.
        temperature: t.
    """

    vectors: Tensor
    share: Tensor
    temperature: Tensor

    def __init__(self, vectors: Tensor, share: Tensor, temperature: Tensor) -> None:
        super().__init__()
        self.register_buffer("vectors", vectors)
        self.register_buffer("share", share)
        self.register_buffer("temperature", temperature)

    def forward(self, users: Tensor) -> Tensor:
        """Return (B, d) unit vectors."""
        near = torch.softmax(torch.matmul(users, self.vectors.T) / self.temperature, dim=-1)
        mixed = (1.0 - self.share) * users + self.share * torch.matmul(near, self.vectors)
        return functional.normalize(mixed, dim=-1)


def landmarks_of(
    user: nn.Module,
    histories: Histories,
    *,
    count: int,
    share: float,
    temperature: float,
    length: int,
    seed: int,
) -> Landmarks | None:
    """Compute the landmarks of a trained user tower.

    Args:
        user: The user tower, in evaluation mode and without landmarks.
        histories: Training users.
        count: Landmarks (L); all users with a positive, or a random sample of them.
        share: Of the landmarks in a user vector.
        temperature: Of the similarity.
        length: Newest events of a history that are read.
        seed: Of the sample.

    Returns:
        None if no user has a positive event.
    """
    liked = np.bincount(histories.owners[histories.positive], minlength=len(histories))
    users = np.flatnonzero(liked)
    if not len(users):
        return None
    if len(users) > count:
        users = np.sort(np.random.default_rng(seed).choice(users, count, replace=False))
    with torch.no_grad():
        parts = [
            user(history_batch(histories, users[start : start + CHUNK], length))
            for start in range(0, len(users), CHUNK)
        ]
    return Landmarks(torch.cat(parts), torch.tensor(share), torch.tensor(temperature))
