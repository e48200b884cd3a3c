"""What every objective must satisfy; a new one is covered as soon as its file exists."""

import pytest
import torch
from pydantic import ValidationError

from counterpoint import fitting, plugins
from counterpoint.objectives._objective import ObjectiveContext
from tests.counterpoint.batch_maker import batch, two_tower

NAMES = plugins.names(fitting.OBJECTIVES)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("full_softmax", [True, False])
def test_the_loss_is_finite_and_trains_the_towers(name: str, full_softmax: bool) -> None:
    torch.manual_seed(0)
    plugin = plugins.load(fitting.OBJECTIVES, name)
    objective = plugin.build(plugin.Config(), ObjectiveContext(torch.ones(10), full_softmax))
    model = two_tower(10)
    loss = objective(model, batch([[0, 1], [2]], [[3], [4, 5]]))
    assert loss.shape == () and torch.isfinite(loss)
    loss.backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert gradients and all(torch.isfinite(g).all() for g in gradients)
    assert any((g != 0).any() for g in gradients)


@pytest.mark.parametrize("name", NAMES)
def test_options_are_strict_and_weighted(name: str) -> None:
    plugin = plugins.load(fitting.OBJECTIVES, name)
    assert plugin.Config(weight=0.5).weight == 0.5
    with pytest.raises(ValidationError):
        plugin.Config(no_such_option=1)
    assert plugin.__doc__
