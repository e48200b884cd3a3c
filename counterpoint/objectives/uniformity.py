"""Vectors spread over the sphere, positives stay close.

Wang and Isola, "Understanding Contrastive Representation Learning through Alignment and Uniformity
on the Hypersphere" (2020), as a loss of recommenders in DirectAU (Wang et al. 2022), and the
entropy regulariser KoLeo (Sablayrolles et al. 2019, after Kozachenko and Leonenko 1987):

    align   = mean over users, mean over targets: |user - item|^2
    uniform = log mean over pairs i < j: exp(-t |x_i - x_j|^2)  +  2 t n / (n - 1)
    entropy = - mean over i: log min over j != i: |x_i - x_j|  +  log 2
    loss    = align_weight * align + uniform_weight * uniform + entropy_weight * entropy

Shapes: x (n, d) unit vectors, the users and the target items of the batch, each tower by itself; of
two towers the mean is taken. The constants are the least possible values (a regular simplex;
opposite points) with their sign turned, so that the terms are at least zero. Only the items of the
batch are touched.
"""

import math
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from counterpoint.batches import Batch
from counterpoint.config.base import Section
from counterpoint.objectives import _softmax
from counterpoint.objectives._objective import Objective, ObjectiveContext
from counterpoint.precision import at_least_single
from counterpoint.towers import TwoTower


class Config(Section):
    """Options of the objective."""

    weight: float = Field(default=0.1, ge=0)
    """Factor of this term in the total loss."""

    align_weight: float = Field(default=1.0, ge=0)
    """Factor of the distance of users and their targets."""

    uniform_weight: float = Field(default=1.0, ge=0)
    """Factor of the uniformity."""

    entropy_weight: float = Field(default=0.0, ge=0)
    """Factor of the entropy regulariser."""

    scale: float = Field(default=2.0, gt=0)
    """Scale of the Gaussian potential (t)."""

    tower: Literal["user", "item", "both"] = "both"
    """Whose vectors are spread."""

    max_vectors: int = Field(default=1024, ge=2)
    """A random sample of this many vectors of a tower bounds the pairs."""


def build(config: Config, context: ObjectiveContext) -> Objective:
    """Return the objective."""
    return Uniformity(config)


class Uniformity(Objective):
    """The objective; arguments as of ``build``."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config

    def forward(self, model: TwoTower, batch: Batch) -> Tensor:
        """Return the scalar loss."""
        users = model.user(batch)
        candidates, place = torch.unique(batch.target_items, return_inverse=True)
        items, _ = model.item(candidates)
        near = at_least_single(users[batch.target_owner] - items[place]).square().sum(-1)
        loss = self.config.align_weight * _softmax.mean_over_users(near, batch)
        towers = {"user": [users], "item": [items], "both": [users, items]}[self.config.tower]
        for vectors in towers:
            chosen = torch.randperm(len(vectors))[: self.config.max_vectors].to(vectors.device)
            loss = loss + self._spread(vectors[chosen]) / len(towers)
        return loss

    def _spread(self, vectors: Tensor) -> Tensor:
        spread = self.config.uniform_weight * uniformity(vectors, self.config.scale)
        if self.config.entropy_weight:
            spread = spread + self.config.entropy_weight * entropy(vectors)
        return spread


def uniformity(vectors: Tensor, scale: float) -> Tensor:
    """Return the logarithm of the mean Gaussian potential above its least value; 0 for one vector.

    Args:
        vectors: (n, d) unit vectors.
        scale: t.
    """
    count = len(vectors)
    if count < 2:
        return vectors.sum() * 0.0
    exponent = -scale * _squared_distances(vectors)
    pairs = math.log(count * (count - 1) / 2)
    return torch.logsumexp(exponent, dim=0) - pairs + 2.0 * scale * count / (count - 1)


def entropy(vectors: Tensor) -> Tensor:
    """Return the mean of ``log 2 - log(distance to the nearest other vector)``; 0 for one vector.

    Args:
        vectors: (n, d) unit vectors.
    """
    if len(vectors) < 2:
        return vectors.sum() * 0.0
    with torch.no_grad():
        similar = vectors @ vectors.T
        nearest = similar.fill_diagonal_(-2.0).argmax(1)
    # Equal vectors have no direction apart: the least distance bounds the loss.
    apart = at_least_single(vectors - vectors[nearest])
    distance = apart.square().sum(-1).clamp(min=MIN_DISTANCE**2).sqrt()
    return math.log(2.0) - torch.log(distance).mean()


MIN_DISTANCE = 1e-4


def _squared_distances(vectors: Tensor) -> Tensor:
    """(n (n - 1) / 2,) squared distances of the pairs i < j of unit vectors."""
    row, column = torch.triu_indices(len(vectors), len(vectors), 1, device=vectors.device)
    return 2.0 - 2.0 * at_least_single(vectors @ vectors.T)[row, column]
