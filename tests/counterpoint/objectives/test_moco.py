import torch
from torch.nn import functional

from counterpoint.objectives import moco
from counterpoint.objectives.moco import EMPTY_PLACE, loss_from_vectors
from tests.counterpoint import toys
from tests.counterpoint.batch_maker import batch, context, two_tower

USERS = toys.histories([(0, True), (1, True)], [(2, True)], [(3, True)])


def unit(*shape: int) -> torch.Tensor:
    return functional.normalize(torch.randn(*shape), dim=-1)


def test_equals_cross_entropy_over_batch_keys_and_queue() -> None:
    queries, keys, queue = unit(3, 4), unit(3, 4), unit(5, 4)
    banned = torch.zeros(3, 5, dtype=torch.bool)
    logits = torch.cat([queries @ keys.T, queries @ queue.T], 1) / 0.3
    expected = functional.cross_entropy(logits, torch.arange(3))
    torch.testing.assert_close(loss_from_vectors(queries, keys, queue, banned, 0.3), expected)
    banned[:, 1:] = True
    expected = functional.cross_entropy(logits[:, :4], torch.arange(3))
    torch.testing.assert_close(loss_from_vectors(queries, keys, queue, banned, 0.3), expected)


def test_gradients_are_right() -> None:
    banned = torch.tensor([[True, False], [False, False]])
    queries = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    keys, queue = torch.randn(2, 3).double(), torch.randn(2, 3).double()
    assert torch.autograd.gradcheck(
        lambda q: loss_from_vectors(q, keys, queue, banned, 0.5), (queries,)
    )


def test_the_queue_turns_and_a_user_is_no_negative_of_its_own() -> None:
    torch.manual_seed(0)
    model = two_tower(10)
    objective = moco.build(moco.Config(queue=5), context(model, USERS))
    example = batch([[0, 1], [2], [3]], [[], [], []])
    assert (objective.queue_users == EMPTY_PLACE).all()
    for users, position in (([0, 1, 2, -1, -1], 3), ([2, 1, 2, 0, 1], 1)):
        objective(model, example)
        _, keys = objective._new[1], objective._new[0]
        objective.after_step(model)
        assert objective.queue_users.tolist() == users and objective.position == position
        assert torch.equal(objective.queue[(position - 1) % 5], keys[-1])
    # All places but those of user 0 hold keys of users 1 and 2: only they are banned for these.
    objective.queue.zero_()
    queries = model.eval().user(example)
    banned = objective.queue_users == example.users.unsqueeze(1)
    assert banned.sum(1).tolist() == [1, 2, 2] and queries.shape == (3, 8)


def test_the_encoder_follows_the_tower_slowly_and_gets_no_gradient() -> None:
    torch.manual_seed(0)
    model = two_tower(10)
    objective = moco.build(moco.Config(momentum=0.75), context(model, USERS))
    before = objective.encoder.mix.weight.clone()
    with torch.no_grad():
        model.user.mix.weight.add_(1.0)
    objective(model, batch([[0, 1], [2]], [[], []])).backward()
    assert all(parameter.grad is None for parameter in objective.encoder.parameters())
    objective.after_step(model)
    torch.testing.assert_close(objective.encoder.mix.weight, before + 0.25)
