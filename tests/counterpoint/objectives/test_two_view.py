import pytest
import torch
from torch.nn import functional

from counterpoint.errors import ConfigError
from counterpoint.objectives import two_view
from counterpoint.objectives._views import nt_xent
from tests.counterpoint import toys
from tests.counterpoint.batch_maker import batch, context, two_tower

USERS = toys.histories([(0, True), (1, True)], [(2, True)])


def test_equals_cross_entropy_of_each_view_against_all_others() -> None:
    first, second = (functional.normalize(torch.randn(3, 4), dim=-1) for _ in range(2))
    views = torch.cat([first, second])
    expected = []
    for row in range(6):
        others = [k for k in range(6) if k != row]
        logits = views[others] @ views[row] / 0.3
        expected.append(functional.cross_entropy(logits, torch.tensor(others.index((row + 3) % 6))))
    torch.testing.assert_close(nt_xent(first, second, 0.3), torch.stack(expected).mean())


def test_gradients_are_right() -> None:
    views = [torch.randn(3, 4, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    assert torch.autograd.gradcheck(lambda a, b: nt_xent(a, b, 0.5), views)


def test_one_pair_has_nothing_to_be_told_from() -> None:
    one = functional.normalize(torch.randn(1, 4), dim=-1)
    assert nt_xent(one, -one, 0.2).item() == pytest.approx(0.0, abs=1e-6)


def test_users_without_history_do_not_count() -> None:
    torch.manual_seed(0)
    model = two_tower(10).eval()
    objective = two_view.build(two_view.Config(augmentations=("reorder",)), context(model, USERS))
    users = batch([[0, 1], [], [2]], [[], [], []])
    without = batch([[0, 1], [2]], [[], []])
    # Histories of one or two equal events are their own views, whatever is drawn.
    same = [batch([[0, 0], [], [2]], [[], [], []]), batch([[0, 0], [2]], [[], []])]
    torch.testing.assert_close(objective(model, same[0]), objective(model, same[1]))
    assert torch.isfinite(objective(model, users)) and torch.isfinite(objective(model, without))


def test_the_views_of_an_item_are_its_id_and_its_text() -> None:
    torch.manual_seed(0)
    model = two_tower(10, cold=2).eval()
    objective = two_view.build(two_view.Config(tower="item"), context(model, USERS))
    loss = objective(model, batch([[0]], [[3, 5, 9]]))  # item 9 has no interaction
    index = torch.tensor([3, 5])
    ids = functional.normalize(model.item.id.weight[index], dim=-1)
    text = functional.normalize(model.item.mlp(model.item.text[index]), dim=-1)
    torch.testing.assert_close(loss, nt_xent(ids, text, 0.2))
    loss.backward()
    assert (model.item.mlp[0].weight.grad != 0).any() and (model.item.id.weight.grad[3] != 0).any()


def test_missing_text_or_graph_is_an_error() -> None:
    with pytest.raises(ConfigError, match="have no text"):
        model = two_tower(10, text_dim=0)
        two_view.build(two_view.Config(tower="both"), context(model, USERS))
    model.item.neighbour_index = model.item.neighbour_index[:, :0]
    with pytest.raises(ConfigError, match=r"train\.tower\.neighbours above 0"):
        two_view.build(two_view.Config(augmentations=("substitute",)), context(model, USERS))
