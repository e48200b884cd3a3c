import math

import torch

from counterpoint.sampling.negatives import NegativeMixture, NegativeSampler, similar_to_targets
from tests.counterpoint.batch_maker import batch


def test_samples_follow_the_smoothed_popularity() -> None:
    torch.manual_seed(0)
    sampler = NegativeSampler.from_popularity(torch.tensor([0.0, 15.0, 80.0]), power=0.5)
    torch.testing.assert_close(sampler.probability, torch.tensor([1.0, 4.0, 9.0]) / 14)
    share = torch.bincount(sampler.draw(50_000), minlength=3) / 50_000
    torch.testing.assert_close(share, sampler.probability, atol=0.01, rtol=0)
    torch.testing.assert_close(
        sampler.correction(torch.tensor([2]), 14), torch.tensor([math.log(9.0)])
    )


def test_a_mixture_expects_other_users_targets_and_draws() -> None:
    example = batch([[], []], [[0, 1, 2], [1]])
    uniform = NegativeSampler.from_popularity(torch.zeros(4), power=0.0)
    popular = torch.tensor([0.4, 0.3, 0.2, 0.1])
    expected = NegativeMixture(uniform, 8, popular).correction(torch.tensor([3, 0]), example)
    by_hand = [[1 * 0.1 + 2, 1 * 0.4 + 2], [3 * 0.1 + 2, 3 * 0.4 + 2]]
    torch.testing.assert_close(expected, torch.log(torch.tensor(by_hand)))


def test_similar_items_are_neighbours_of_the_own_targets() -> None:
    torch.manual_seed(0)
    index = torch.arange(6).unsqueeze(1) + torch.tensor([[10, 20]])
    neighbours = torch.cat([index, index]), torch.ones(12, 2)
    found = similar_to_targets(batch([[], [], []], [[0, 1], [], [4]]), neighbours, 50)
    assert found.shape == (3, 50)
    assert set(found[0].tolist()) == {10, 11, 20, 21}
    assert set(found[2].tolist()) == {14, 24}
    assert similar_to_targets(batch([[]], [[]]), neighbours, 3).shape == (1, 3)
