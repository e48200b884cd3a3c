import math

import pytest
import torch
from torch.nn import functional

from counterpoint.objectives import uniformity
from counterpoint.objectives.uniformity import Config, Uniformity, entropy
from tests.counterpoint.batch_maker import batch, two_tower


def unit(*shape: int) -> torch.Tensor:
    return functional.normalize(torch.randn(*shape), dim=-1)


def test_uniformity_equals_its_formula() -> None:
    vectors = unit(6, 3)
    potential = torch.exp(-2 * torch.pdist(vectors).square()).mean().log()
    torch.testing.assert_close(uniformity.uniformity(vectors, 2.0), potential + 4 * 6 / 5)


def test_a_regular_simplex_is_the_most_uniform() -> None:
    centred = torch.eye(5) - 0.2
    simplex = functional.normalize(centred, dim=-1)
    assert uniformity.uniformity(simplex, 2.0).item() == pytest.approx(0.0, abs=1e-5)
    for _ in range(20):
        assert uniformity.uniformity(unit(5, 5), 2.0) > 0
    collapsed = uniformity.uniformity(unit(1, 5).expand(5, 5), 2.0).item()
    assert collapsed == pytest.approx(4 * 5 / 4, abs=1e-5)


def test_entropy_equals_its_formula_and_is_zero_for_opposite_points() -> None:
    vectors = unit(6, 3)
    distance = torch.cdist(vectors, vectors).fill_diagonal_(9).min(1).values
    torch.testing.assert_close(entropy(vectors), math.log(2) - distance.log().mean())
    point = unit(1, 3)
    assert entropy(torch.cat([point, -point])).item() == pytest.approx(0.0, abs=1e-6)
    assert torch.isfinite(entropy(point.expand(4, 3)))


@pytest.mark.parametrize("loss", [lambda x: uniformity.uniformity(x, 2.0), entropy])
def test_gradients_are_right(loss) -> None:
    vectors = unit(5, 3).double().requires_grad_()
    assert torch.autograd.gradcheck(loss, (vectors,))
    assert loss(vectors[:1]).item() == 0.0


def test_align_is_the_squared_distance_of_users_and_targets() -> None:
    torch.manual_seed(0)
    model = two_tower(10).eval()
    example = batch([[0, 1], [2]], [[3, 4], [3]])
    config = Config(uniform_weight=0.0, align_weight=2.0)
    users, (items, _) = model.user(example), model.item()
    near = [(users[u] - items[i]).square().sum() for u, i in ((0, 3), (0, 4), (1, 3))]
    expected = 2 * ((near[0] + near[1]) / 2 + near[2]) / 2
    torch.testing.assert_close(Uniformity(config)(model, example), expected)


def test_each_tower_is_spread_by_itself() -> None:
    torch.manual_seed(0)
    model = two_tower(10).eval()
    example = batch([[0, 1], [2]], [[3, 4], [3]])
    users, (items, _) = model.user(example), model.item(torch.tensor([3, 4]))
    parts = [uniformity.uniformity(vectors, 2.0) for vectors in (users, items)]
    for tower, expected in (
        ("user", parts[0]),
        ("item", parts[1]),
        ("both", (parts[0] + parts[1]) / 2),
    ):
        config = Config(align_weight=0.0, tower=tower)
        torch.testing.assert_close(Uniformity(config)(model, example), expected)
