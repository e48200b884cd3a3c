from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression, LogisticRegression
from torch import Tensor, nn

from counterpoint.config.reranker import RerankerConfig
from counterpoint.reranker import plain_start
from counterpoint.reranker.batches import batch
from counterpoint.reranker.examples import NONE, Examples
from tests.counterpoint.reranker import circle

WIDTH = 5
SCALE = torch.full((WIDTH,), 0.5), torch.full((WIDTH,), 2.0)


def as_told(history: Tensor, kind: Tensor, candidate: Tensor, told: Tensor) -> tuple[Tensor]:
    """Plain features that are what the examples say, and nothing else."""
    return (told,)


@pytest.fixture
def examples() -> Examples:
    """Events of which some candidates and some ratings are missing."""
    drawn = circle.draw(300, seed=0, noise=0.2)
    rng = np.random.default_rng(0)
    items, rating = drawn.items.copy(), drawn.rating.copy()
    items[rng.random(items.shape) < 0.1] = NONE
    rating[rng.random(rating.shape) < 0.3] = np.nan
    statistics = rng.normal(size=drawn.statistics.shape).astype(np.float32)
    statistics[..., 0] += drawn.click
    return replace(
        drawn,
        items=items,
        rating=rating,
        statistics=statistics,
        retrieval=rng.normal(size=items.shape).astype(np.float32),
        leniency=rng.normal(size=len(items)).astype(np.float32),
    )


def begun(examples: Examples, rating_weight: float) -> nn.Linear:
    wide = nn.Linear(WIDTH, 2)
    nn.init.zeros_(wide.weight)
    nn.init.zeros_(wide.bias)
    config = RerankerConfig(rating=rating_weight)
    plain_start.begin(wide, examples, as_told, SCALE, circle.UNITS, config)  # type: ignore[arg-type]
    return wide


@pytest.mark.parametrize("rating_weight", [0.3, 0.0])
def test_it_is_what_linear_models_learn(examples: Examples, rating_weight: float) -> None:
    wide = begun(examples, rating_weight)
    there = examples.items != NONE
    given = batch(examples, np.arange(len(examples)), 8, circle.UNITS).told.numpy()[there]
    told, label = (given - 0.5) / 2.0, examples.click[there] > 0.5
    answers = wide(torch.from_numpy(told)).detach().numpy()
    # Without a ridge; ours moves a logit by about a hundredth.
    logistic = LogisticRegression(C=np.inf).fit(told, label)
    np.testing.assert_allclose(answers[:, 0], logistic.decision_function(told), atol=0.05)
    if not rating_weight:
        assert not answers[:, 1].any()
        return
    rated = ((examples.rating - circle.UNITS.mean) / circle.UNITS.spread)[there]
    known = ~np.isnan(rated)
    linear = LinearRegression().fit(told[known], rated[known])
    np.testing.assert_allclose(answers[:, 1], linear.predict(told), atol=0.05)


def test_nothing_is_left_in_the_gradients(examples: Examples) -> None:
    assert all(weight.grad is None for weight in begun(examples, 0.3).parameters())
