"""Users who like the same items get similar vectors.

With S the sparse similarity of the users' positives (``user_graph.user_similarity``, cosine, the M
largest of each user; everyone else is a non-neighbour with S = 0) and the unit vectors x:

    l[i, j] = <x_i, x_j> / t + b
    loss    = mean over users i, mean over j:
              - [ S_ij log sigma(l_ij) + (1 - S_ij) log(1 - sigma(l_ij)) ]

the binary cross-entropy of S against sigma, which is least where sigma(l_ij) = S_ij. The mean over
j gives the sampled neighbours and the sampled non-neighbours half each, as there are far more of
the latter. t and b are learned, since the cosine alone cannot reach a sigma near 0 or 1 (as in
SigLIP, Zhai et al. 2023); ``calibrate: false`` with ``temperature: 1`` is the plain inner product.

Shapes: batch users (B, d), candidates (B + B P, d): the batch's users and P neighbours of each,
by their whole histories. The work does not grow with the number of users or items; S takes O(U M).
"""

import math

import numpy as np
import scipy.sparse as sp
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from counterpoint.batches import Batch, history_batch
from counterpoint.config.base import Section
from counterpoint.histories import Histories
from counterpoint.objectives._objective import Objective, ObjectiveContext
from counterpoint.precision import at_least_single
from counterpoint.towers import TwoTower
from counterpoint.user_graph import user_similarity


class Config(Section):
    """Options of the objective."""

    weight: float = Field(default=0.1, ge=0)
    """Factor of this term in the total loss."""

    neighbours: int = Field(default=20, ge=1)
    """Neighbours kept per user (M)."""

    sampled: int = Field(default=1, ge=1)
    """Neighbours whose vectors are computed per user and step (P)."""

    temperature: float = Field(default=0.2, gt=0)
    """Initial temperature of the cosines (t)."""

    calibrate: bool = True
    """Learn t and b; else b is 0."""


def build(config: Config, context: ObjectiveContext) -> Objective:
    """Return the objective with the similarity matrix."""
    similarity = user_similarity(context.liked, config.neighbours)
    return UserSimilarity(config, similarity, context.histories, context.history_length)


class UserSimilarity(Objective):
    """The objective.

    Args:
        config: Options.
        similarity: (U, U) S.
        histories: (U,) users.
        length: Newest events of a history that are read.
    """

    def __init__(
        self, config: Config, similarity: sp.csr_matrix, histories: Histories, length: int
    ) -> None:
        super().__init__()
        self.config = config
        self.similarity = similarity
        self.histories = histories
        self.length = length
        calibrate = config.calibrate
        self.log_temperature = nn.Parameter(
            torch.tensor(math.log(config.temperature)), requires_grad=calibrate
        )
        self.bias = nn.Parameter(torch.zeros(()), requires_grad=calibrate)

    def forward(self, model: TwoTower, batch: Batch) -> Tensor:
        """Return the scalar loss."""
        device = batch.items.device
        users = batch.users.cpu().numpy()
        near = self._draw_neighbours(users)
        others = history_batch(self.histories, near, self.length).to(device)
        vectors = model.user(batch)
        candidates = torch.cat([vectors, model.user(others)])
        cosine = at_least_single(vectors @ candidates.T)
        logits = cosine * torch.exp(-self.log_temperature) + self.bias
        columns = np.concatenate([users, near])
        wanted = torch.from_numpy(self._similarity(users, columns)).to(device)
        same = torch.from_numpy(users[:, None] == columns[None, :]).to(device)
        return loss_from_logits(logits, wanted, same)

    def _draw_neighbours(self, users: np.ndarray) -> np.ndarray:
        """(Z,) users, P neighbours of each user that has any."""
        indptr, indices = self.similarity.indptr, self.similarity.indices
        first, count = indptr[users], indptr[users + 1] - indptr[users]
        noise = torch.rand(len(users), self.config.sampled).double().numpy()
        place = first[:, None] + np.floor(noise * count[:, None]).astype(np.int64)
        return np.unique(indices[place[count > 0].ravel()]).astype(np.int64)

    def _similarity(self, users: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """(B, C) dense block of S."""
        return self.similarity[users][:, columns].toarray().astype(np.float32)


def loss_from_logits(logits: Tensor, similarity: Tensor, same: Tensor) -> Tensor:
    """Return the scalar loss.

    Args:
        logits: (B, C).
        similarity: (B, C) S; 0 at non-neighbours.
        same: (B, C) bool, pairs of a user with itself, which do not count.
    """
    losses = functional.binary_cross_entropy_with_logits(
        logits, similarity.to(logits.dtype), reduction="none"
    )
    kinds = [(similarity > 0) & ~same, (similarity == 0) & ~same]
    parts = [torch.where(kind, losses, 0.0).sum(1) / kind.sum(1).clamp(min=1) for kind in kinds]
    # A user without neighbours, or without non-neighbours, has but one half.
    halves = torch.stack([kind.any(1) for kind in kinds]).sum(0)
    return (torch.stack(parts).sum(0) / halves.clamp(min=1)).sum() / (halves > 0).sum().clamp(min=1)
