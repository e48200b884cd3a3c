import pytest
import torch
from torch.nn import functional

from counterpoint.objectives import byol
from counterpoint.objectives.byol import loss_from_vectors
from tests.counterpoint import toys
from tests.counterpoint.batch_maker import batch, context, two_tower

USERS = toys.histories([(0, True), (1, True)], [(2, True)])


def test_it_is_half_the_squared_distance_of_unit_vectors() -> None:
    predicted, target = torch.randn(4, 3), torch.randn(4, 3)
    one, two = functional.normalize(predicted, dim=-1), functional.normalize(target, dim=-1)
    expected = (one - two).square().sum(-1).mean() / 2
    torch.testing.assert_close(loss_from_vectors(predicted, target), expected)
    assert loss_from_vectors(predicted, 3 * predicted).item() == pytest.approx(0.0, abs=1e-6)


def test_gradients_are_right() -> None:
    predicted = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    target = torch.randn(3, 4, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda p: loss_from_vectors(p, target), (predicted,))


def test_predictor_and_tower_learn_and_the_target_follows() -> None:
    torch.manual_seed(0)
    model = two_tower(10)
    objective = byol.build(byol.Config(momentum=0.5), context(model, USERS))
    example = batch([[0, 1, 4], [2, 3], [5, 6, 7]], [[], [], []])
    start = objective.target.mix.weight.clone()
    trained = [p for p in [*model.parameters(), *objective.parameters()] if p.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=0.01)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = objective(model, example)
        loss.backward()
        assert all(p.grad is None for p in objective.target.parameters())
        optimizer.step()
        objective.after_step(model)
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 3
    assert not torch.equal(objective.target.mix.weight, start)
    expected = model.user.mix.weight
    assert (objective.target.mix.weight - expected).abs().max() < 0.05
