"""Where reader and student begin: at the best linear model of the plain features.

What they read is then what is left to say, and nobody begins below a logistic regression.
"""

import numpy as np
import torch
from torch import Tensor, nn

from counterpoint.reranker import objective
from counterpoint.reranker.examples import NONE, Examples
from counterpoint.reranker.statistics import Units

RIDGE = 1e-4
"""Of standardised features: far below what a label weighs."""

ITERATIONS = 100


def begin(
    wide: nn.Linear, found: Tensor, train: Examples, units: Units, *, rating_weight: float
) -> None:
    """Set the linear part to the minimum of the loss over all pairs; it is a convex problem.

    Args:
        wide: K plain features -> logit of liking, and rating.
        found: (G, C, K) standardised plain features of all events.
        train: The events.
        units: Of the ratings.
        rating_weight: Weight of the squared error.
    """
    there = torch.from_numpy(train.items != NONE)
    told = found[there].detach()
    click = torch.from_numpy(train.click)[there]
    rated = torch.from_numpy(((train.rating - units.mean) / units.spread).astype(np.float32))[there]
    solver = torch.optim.LBFGS(
        wide.parameters(), max_iter=ITERATIONS, line_search_fn="strong_wolfe"
    )

    def loss() -> float:
        solver.zero_grad()
        logit, rating = wide(told).unbind(-1)
        value = objective.labelled(logit, rating, click, rated, rating_weight=rating_weight)
        value = value + RIDGE * wide.weight.square().sum()
        value.backward()
        return float(value.detach())

    solver.step(loss)
    solver.zero_grad()
