import math

import numpy as np
import pytest
import torch

from counterpoint.objectives import user_similarity
from counterpoint.objectives.user_similarity import loss_from_logits
from tests.counterpoint import toys
from tests.counterpoint.batch_maker import batch, context, two_tower

SAME = torch.tensor([[True, False, False, False], [False, True, False, False]])


def test_by_hand() -> None:
    logits = torch.tensor([[9.0, 1.0, -1.0, 2.0], [0.5, 9.0, 0.0, -2.0]])
    similarity = torch.tensor([[0.0, 0.8, 0.0, 0.0], [0.8, 0.0, 0.4, 0.0]])

    def entropy(s: float, logit: float) -> float:
        sigma = 1 / (1 + math.exp(-logit))
        return -(s * math.log(sigma) + (1 - s) * math.log(1 - sigma))

    first = (entropy(0.8, 1.0) + (entropy(0, -1.0) + entropy(0, 2.0)) / 2) / 2
    second = ((entropy(0.8, 0.5) + entropy(0.4, 0.0)) / 2 + entropy(0, -2.0)) / 2
    loss = loss_from_logits(logits, similarity, SAME)
    assert loss.item() == pytest.approx((first + second) / 2, rel=1e-6)


def test_it_is_least_where_the_sigmoid_is_the_similarity() -> None:
    """The sign error of the usual derivation would push the logit to minus infinity."""
    similarity = torch.tensor([[0.0, 0.7, 0.7]])
    same = torch.tensor([[True, False, False]])
    logits = torch.zeros(1, 3, requires_grad=True)
    optimizer = torch.optim.SGD([logits], lr=2.0)
    for _ in range(300):
        optimizer.zero_grad()
        loss_from_logits(logits, similarity, same).backward()
        optimizer.step()
    torch.testing.assert_close(torch.sigmoid(logits[0, 1:]), similarity[0, 1:], atol=1e-3, rtol=0)


def test_gradients_are_right_and_the_own_pair_gets_none() -> None:
    similarity = torch.tensor([[0.0, 0.8, 0.0, 0.0], [0.8, 0.0, 0.4, 0.0]], dtype=torch.float64)
    logits = torch.randn(2, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: loss_from_logits(x, similarity, SAME), (logits,))
    loss_from_logits(logits, similarity, SAME).backward()
    assert (logits.grad[SAME] == 0).all() and (logits.grad[~SAME] != 0).all()


def test_training_on_it_orders_the_users_by_similarity() -> None:
    torch.manual_seed(0)
    users = toys.histories(
        *[[(i, True) for i in (0, 1, 2)]] * 2, *[[(i, True) for i in (5, 6, 7)]] * 2
    )
    model = two_tower(10)
    config = user_similarity.Config(neighbours=1)
    objective = user_similarity.build(config, context(model, users))
    example = batch([[0, 1], [2], [5], [6, 7]], [[], [], [], []])
    optimizer = torch.optim.Adam([*model.parameters(), *objective.parameters()], lr=0.02)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = objective(model, example)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2
    vectors = model.eval().user(example).detach()
    cosine = (vectors @ vectors.T).numpy()
    np.fill_diagonal(cosine, -1)
    assert cosine.argmax(1).tolist() == [1, 0, 3, 2]


def test_neighbours_are_drawn_from_the_similar_users_alone() -> None:
    torch.manual_seed(0)
    users = toys.histories([(0, True)], [(0, True), (1, True)], [(1, True)], [(9, False)])
    config = user_similarity.Config(sampled=20)
    objective = user_similarity.build(config, context(two_tower(10), users))
    assert objective._draw_neighbours(np.array([0])).tolist() == [1]
    assert objective._draw_neighbours(np.array([1])).tolist() == [0, 2]
    assert objective._draw_neighbours(np.array([3])).tolist() == []


def test_the_plain_inner_product_has_nothing_to_train() -> None:
    config = user_similarity.Config(calibrate=False, temperature=1.0)
    users = toys.histories([(0, True)], [(0, True)])
    objective = user_similarity.build(config, context(two_tower(10), users))
    assert not [p for p in objective.parameters() if p.requires_grad]
