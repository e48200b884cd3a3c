"""Where reader and student begin: at the best linear model of the plain features.

What they read is then what is left to say, and nobody begins below a logistic regression.
"""

import numpy as np
import torch
from torch import Tensor, nn

from counterpoint.config.reranker import RerankerConfig
from counterpoint.reranker import objective
from counterpoint.reranker.batches import batch, plain_features
from counterpoint.reranker.examples import Examples
from counterpoint.reranker.features import PairFeatures
from counterpoint.reranker.statistics import Units

RIDGE = 1e-4
"""Of standardised features: far below what a label weighs."""

ITERATIONS = 100


def begin(
    wide: nn.Linear,
    train: Examples,
    features: PairFeatures,
    scale: tuple[Tensor, Tensor],
    units: Units,
    config: RerankerConfig,
) -> None:
    """Set the linear part to the minimum of the loss over all pairs; it is a convex problem.

    Args:
        wide: K plain features -> logit of liking, and rating.
        train: The events.
        features: Plain features of pairs.
        scale: (K,) mean and (K,) standard deviation of the plain features.
        units: Of the ratings.
        config: Newest events that the features look at, and the weight of the rating.
    """
    rows, events = np.arange(len(train)), config.student.events
    labels = batch(train, rows, events, units)
    with torch.no_grad():
        found = plain_features(train, rows, features, units, events)
    there = labels.candidate > 0
    told = ((found - scale[0]) / scale[1])[there]
    click, rated = labels.click[there], labels.rating[there]
    solver = torch.optim.LBFGS(
        wide.parameters(), max_iter=ITERATIONS, line_search_fn="strong_wolfe"
    )

    def loss() -> float:
        solver.zero_grad()
        logit, rating = wide(told).unbind(-1)
        value = objective.labelled(logit, rating, click, rated, rating_weight=config.rating)
        value = value + RIDGE * wide.weight.square().sum()
        value.backward()
        return float(value.detach())

    solver.step(loss)
    solver.zero_grad()
