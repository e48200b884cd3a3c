import math

import pytest
import torch
from torch import nn

from counterpoint.config.towers import FitConfig
from counterpoint.task_weights import (
    FixedWeights,
    GradientWeights,
    UncertaintyWeights,
    build,
)

WEIGHTS = {"a": 1.0, "b": 0.5}


def terms(a: float, b: float) -> dict[str, torch.Tensor]:
    return {"a": torch.tensor(a, requires_grad=True), "b": torch.tensor(b, requires_grad=True)}


def test_fixed_weights_add_up() -> None:
    weigh = FixedWeights(WEIGHTS)
    assert weigh(terms(3.0, 4.0)).item() == 5.0 and weigh.factors() == WEIGHTS


def test_uncertainty_by_hand_and_its_optimum() -> None:
    weigh = UncertaintyWeights(WEIGHTS)
    with torch.no_grad():
        weigh.log_variance.copy_(torch.tensor([math.log(2.0), 0.0]))
    expected = 3 / 2 + math.log(2) / 2 + 0.5 * 4
    assert weigh(terms(3.0, 4.0)).item() == pytest.approx(expected)
    assert weigh.factors() == pytest.approx({"a": 0.5, "b": 0.5})
    optimizer = torch.optim.SGD(weigh.parameters(), lr=0.2)
    for _ in range(500):
        optimizer.zero_grad()
        weigh(terms(3.0, 4.0)).backward()
        optimizer.step()
    # d/ds (exp(-s) L + s / 2) = 0 at exp(-s) = 1 / (2 L): each weighted term is w / 2.
    assert weigh.factors() == pytest.approx({"a": 1 / 6, "b": 0.5 / 8}, rel=1e-3)


def test_uncertainty_gradients_are_right() -> None:
    weigh = UncertaintyWeights(WEIGHTS).double()
    weigh.log_variance.data = torch.tensor([0.3, -0.2], dtype=torch.float64)
    values = torch.tensor([3.0, 4.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: weigh({"a": v[0], "b": v[1]}), (values,))


def balanced(asymmetry: float, steps: int = 400) -> tuple[GradientWeights, dict[str, float]]:
    """Terms whose gradients are 40 and 2 at the shared parameter; a halves, b stays."""
    shared = nn.Parameter(torch.ones(1))
    weigh = GradientWeights(WEIGHTS, [shared], rate=0.1, asymmetry=asymmetry)
    for step in range(steps):
        fall = 1.0 if step == 0 else 0.5
        found = {
            "a": 40 * shared.sum() - 40 * shared.detach().sum() + 8.0 * fall,
            "b": 2 * shared.sum() - 2 * shared.detach().sum() + 5.0,
        }
        weigh(found)
        weigh.after_step()
    return weigh, weigh.factors()


def test_gradients_come_into_the_configured_proportion() -> None:
    _, factors = balanced(asymmetry=0.0)
    assert factors["a"] * 40 / (factors["b"] * 2) == pytest.approx(1.0 / 0.5, rel=1e-3)
    assert sum(factors.values()) == pytest.approx(1.5)


def test_slow_terms_are_favoured() -> None:
    weigh, factors = balanced(asymmetry=1.0)
    # Relative training rates: 0.5 and 1 of the first loss.
    assert factors["a"] * 40 / (factors["b"] * 2) == pytest.approx(1.0 * 0.5 / 0.5, rel=1e-3)
    torch.testing.assert_close(weigh.first, torch.tensor([8.0, 5.0]))


def test_the_loss_uses_the_factors_and_leaves_gradients_alone() -> None:
    shared = nn.Parameter(torch.ones(2))
    weigh = GradientWeights(WEIGHTS, [shared], rate=0.5, asymmetry=0.0)
    found = {"a": shared.square().sum(), "b": shared.sum(), "c": torch.tensor(0.0)}
    loss = weigh({name: found[name] for name in WEIGHTS})
    assert shared.grad is None and weigh.factors() == WEIGHTS
    loss.backward()
    weigh.after_step()
    factors = weigh.factors()
    torch.testing.assert_close(shared.grad, torch.full((2,), 2 * factors["a"] + factors["b"]))


def test_a_term_without_shared_gradient_keeps_its_weight() -> None:
    shared, other = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))
    weights = {"a": 1.0, "b": 1.0, "apart": 0.3, "off": 0.0, "constant": 0.7}
    weigh = GradientWeights(weights, [shared], rate=0.5, asymmetry=0.0)
    for _ in range(20):
        weigh(
            {
                "a": 9 * shared.sum(),
                "b": shared.sum(),
                "apart": other.sum(),
                "off": shared.sum(),
                "constant": torch.tensor(2.0),
            }
        )
        weigh.after_step()
    factors = weigh.factors()
    assert (factors["apart"], factors["off"], factors["constant"]) == pytest.approx((0.3, 0, 0.7))
    assert factors["a"] * 9 == pytest.approx(factors["b"], rel=1e-3)
    assert list(weigh.parameters()) == []


def test_the_configuration_chooses() -> None:
    for name, kind in (
        ("fixed", FixedWeights),
        ("uncertainty", UncertaintyWeights),
        ("gradient", GradientWeights),
    ):
        assert type(build(WEIGHTS, [], FitConfig(task_weights=name))) is kind
