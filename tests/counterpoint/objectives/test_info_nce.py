import math

import pytest
import torch
from torch.nn import functional

from counterpoint.objectives import info_nce
from counterpoint.objectives._objective import ObjectiveContext
from counterpoint.sampling.negatives import NegativeSampler
from tests.counterpoint.batch_maker import batch, two_tower


def test_equals_cross_entropy_over_the_unseen_items() -> None:
    logits = torch.randn(3, 6)
    histories, targets = [[0], [1, 2], []], [[3], [0], [5]]
    loss = info_nce.loss_from_logits(logits, batch(histories, targets))
    expected = []
    for row in range(3):
        unseen = [item for item in range(6) if item not in histories[row]]
        place = torch.tensor([unseen.index(targets[row][0])])
        expected.append(functional.cross_entropy(logits[row : row + 1, unseen], place))
    torch.testing.assert_close(loss, torch.stack(expected).mean())


def test_several_targets_by_hand() -> None:
    # User 0: probabilities 1/2 and 1/4 of its two targets; user 1: 1/3; user 2 has no target.
    logits = torch.log(torch.tensor([[2.0, 1.0, 1.0], [1.0, 1.0, 1.0], [9.0, 9.0, 9.0]]))
    loss = info_nce.loss_from_logits(logits, batch([[], [], [0]], [[0, 1], [2], []]))
    by_user = [(math.log(2) + math.log(4)) / 2, math.log(3)]
    assert loss.item() == pytest.approx(sum(by_user) / 2, rel=1e-6)


def test_gradients_are_right_and_seen_items_get_none() -> None:
    example = batch([[0, 1], [2]], [[2, 3], [0]])
    logits = torch.randn(2, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: info_nce.loss_from_logits(x, example), (logits,))
    info_nce.loss_from_logits(logits, example).backward()
    assert logits.grad[0, :2].tolist() == [0.0, 0.0] and logits.grad[1, 2] == 0.0
    assert (logits.grad[0, 2:] != 0).all()


def test_no_target_at_all_gives_a_zero_loss() -> None:
    assert info_nce.loss_from_logits(torch.randn(2, 4), batch([[0], [1]], [[], []])).item() == 0.0


def test_sampled_softmax_approaches_the_full_one() -> None:
    torch.manual_seed(0)
    model = two_tower(n_items=30).eval()
    example = batch([[0, 3], [5]], [[7, 8], [2]])
    full = info_nce.full(model, example)
    sampler = NegativeSampler.from_popularity(torch.arange(30.0))
    sampled = info_nce.sampled(model, example, sampler, 200_000)
    # The full form counts a user's other targets as negatives, the sampled one does not.
    logits = model.logits(model.user(example), *model.item()).detach()
    gap = []
    for user, items in ((0, [7, 8]), (1, [2])):
        seen = {0: [0, 3], 1: [5]}[user]
        rest = [i for i in range(30) if i not in seen and i not in items]
        losses = [
            torch.logsumexp(logits[user, [*rest, item]], 0) - logits[user, item] for item in items
        ]
        gap.append(torch.stack(losses).mean())
    assert sampled.item() == pytest.approx(torch.stack(gap).mean().item(), rel=2e-3)
    assert sampled.item() == pytest.approx(full.item(), rel=0.1)


def test_the_size_of_the_catalogue_chooses_the_form() -> None:
    torch.manual_seed(0)
    model = two_tower(n_items=8).eval()
    example = batch([[0]], [[1]])
    exact = info_nce.build(info_nce.Config(), ObjectiveContext(torch.ones(8), full_softmax=True))
    assert exact(model, example) == info_nce.full(model, example)
    rough = info_nce.build(
        info_nce.Config(samples=3), ObjectiveContext(torch.ones(8), full_softmax=False)
    )
    loss = rough(model, example)
    assert torch.isfinite(loss) and loss != info_nce.full(model, example)


def test_samples_follow_the_smoothed_popularity() -> None:
    torch.manual_seed(0)
    sampler = NegativeSampler.from_popularity(torch.tensor([0.0, 15.0, 80.0]), power=0.5)
    torch.testing.assert_close(sampler.probability, torch.tensor([1.0, 4.0, 9.0]) / 14)
    share = torch.bincount(sampler.draw(50_000), minlength=3) / 50_000
    torch.testing.assert_close(share, sampler.probability, atol=0.01, rtol=0)
    torch.testing.assert_close(
        sampler.correction(torch.tensor([2]), 14), torch.tensor([math.log(9.0)])
    )
