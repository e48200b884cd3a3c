from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression, LogisticRegression
from torch import nn

from counterpoint.reranker import plain_start
from counterpoint.reranker.examples import NONE, Examples
from tests.counterpoint.reranker import circle

WIDTH = 5


@pytest.fixture
def examples() -> Examples:
    """Events of which some candidates and some ratings are missing."""
    drawn = circle.draw(300, seed=0, noise=0.2)
    rng = np.random.default_rng(0)
    items, rating = drawn.items.copy(), drawn.rating.copy()
    items[rng.random(items.shape) < 0.1] = NONE
    rating[rng.random(rating.shape) < 0.3] = np.nan
    return replace(drawn, items=items, rating=rating)


@pytest.mark.parametrize("rating_weight", [0.3, 0.0])
def test_it_is_what_linear_models_learn(examples: Examples, rating_weight: float) -> None:
    torch.manual_seed(0)
    found = torch.randn(*examples.items.shape, WIDTH)
    found[..., 0] += torch.from_numpy(examples.click)
    wide = nn.Linear(WIDTH, 2)
    nn.init.zeros_(wide.weight)
    nn.init.zeros_(wide.bias)
    plain_start.begin(wide, found, examples, circle.UNITS, rating_weight=rating_weight)
    there = examples.items != NONE
    told, label = found.numpy()[there], examples.click[there] > 0.5
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
    wide = nn.Linear(WIDTH, 2)
    found = torch.randn(*examples.items.shape, WIDTH)
    plain_start.begin(wide, found, examples, circle.UNITS, rating_weight=0.3)
    assert all(weight.grad is None for weight in wide.parameters())
