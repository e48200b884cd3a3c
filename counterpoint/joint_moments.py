"""Means and covariances of what the scorers know of the warm items: moments without a scan.

Outside the linear parts every scorer is an inner product of something of the user with something
of the item. So a user's mean and spread over all N items, and the regression of the scores on the
item features (cold.py), follow from tables whose size does not depend on N:

    x_i = [tower vector | tower bias | factors | prior base | prior shifts]        (D)
    mean(q.x) = q.mean(x),   var(q.x) = q' Cov(x) q,   sum_i (q.x_i) W_i = q' (X_c' W)

What the linear parts add is zero outside the items they cover, which are always scored anyway.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from counterpoint.graph import RecommenderModule

CHUNK = 65_536
"""Items whose rows are in memory at once, in float64."""


class Blocks(NamedTuple):
    """Where each scorer's part of x begins and ends."""

    tower: slice
    factors: slice
    prior: slice
    width: int
    order: tuple[str, ...] = ("tower", "factors", "prior")


class JointMoments(NamedTuple):
    """Statistics over the warm items.

    Attributes:
        size: Number of warm items, at least 1.
        mean: (D,).
        covariance: (D, D).
        map: (D, F) centred x against the rows of the ridge map.
        map_total: (F,) sum of the rows of the ridge map.
    """

    size: int
    mean: Tensor
    covariance: Tensor
    map: Tensor
    map_total: Tensor


def blocks(module: RecommenderModule) -> Blocks:
    """Return the layout of x."""
    tower = module.tower.vectors.shape[1] + 1
    factors = tower + (0 if module.factors is None else module.factors.factors.shape[1])
    width = factors + 1 + module.prior.shift.shape[0]
    return Blocks(slice(0, tower), slice(tower, factors), slice(factors, width), width)


def rows(module: RecommenderModule, items: Tensor, *, shifts: bool = True) -> Tensor:
    """Return (M, D) x of the given items; without the prior's shifts if not wanted."""
    parts = [module.tower.vectors[items], module.tower.bias[items].unsqueeze(1)]
    if module.factors is not None:
        parts.append(module.factors.factors[items])
    parts.append(module.prior.base[items].unsqueeze(1))
    if shifts:
        parts.append(module.prior.shift[:, items].T)
    return torch.cat(parts, dim=1)


def joint_moments(module: RecommenderModule) -> JointMoments:
    """Compute the statistics, in float64."""
    cold = module.cold
    warm = torch.nonzero(cold.warm).squeeze(1)
    width = blocks(module).width
    count = max(len(warm), 1)
    total = torch.zeros(width, dtype=torch.float64)
    for part in warm.split(CHUNK):
        total += rows(module, part).double().sum(0)
    mean = total / count
    square = torch.zeros(width, width, dtype=torch.float64)
    mapped = torch.zeros(width, cold.ridge_map.shape[1], dtype=torch.float64)
    for part in warm.split(CHUNK):
        centred = rows(module, part).double() - mean
        square += centred.T @ centred
        mapped += centred.T @ cold.ridge_map[part].double()
    ridge_total = cold.ridge_map.double().sum(0)
    return JointMoments(
        count, mean.float(), (square / count).float(), mapped.float(), ridge_total.float()
    )


def head_items(module: RecommenderModule, *, at_least: int) -> npt.NDArray[np.int64]:
    """Return the warm items that are always scored, ascending.

    All that a linear part covers, and the most popular by the prior.

    Args:
        module: The model.
        at_least: Number of the most popular items.
    """
    warm = module.cold.warm.numpy()
    chosen = np.zeros(len(warm), dtype=bool)
    for linear in module.linear_parts:
        chosen[linear.items.numpy()] = True
    base = np.where(warm, module.prior.base.numpy(), -np.inf)
    chosen[np.argsort(-base, kind="stable")[:at_least]] = True
    return np.flatnonzero(chosen & warm).astype(np.int64)
