import math
from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from counterpoint.objectives import _softmax, info_nce
from counterpoint.objectives._objective import Objective
from counterpoint.sampling.negatives import NegativeMixture, NegativeSampler
from counterpoint.towers import TwoTower
from tests.counterpoint import toys
from tests.counterpoint.batch_maker import batch, context, two_tower


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


EXAMPLE = batch([[0, 3], [5]], [[7, 8], [2]])
USERS = toys.histories(
    [(0, True), (3, True), (7, True), (8, True), (11, True)], [(5, True), (2, True), (4, False)]
)
LIKED = ({0, 3, 7, 8, 11}, {5, 2})


@pytest.fixture
def model() -> TwoTower:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return two_tower(n_items=30).eval()


def objective(model: TwoTower, *, full: bool = True, **options: object) -> Objective:
    return info_nce.build(
        info_nce.Config.model_validate(options), context(model, USERS, full_softmax=full)
    )


def logits_of(model: TwoTower) -> torch.Tensor:
    return model.logits(model.user(EXAMPLE), *model.item()).detach()


def by_hand(logits: torch.Tensor, own: tuple[set[int], ...], extra: list[list[int]]) -> float:
    """Each target against all items outside ``own`` and, once more, the extra ones."""
    by_user = []
    for user, targets in enumerate(([7, 8], [2])):
        rest = [i for i in range(30) if i not in own[user]] + extra[user]
        losses = [torch.logsumexp(logits[user, [*rest, t]], 0) - logits[user, t] for t in targets]
        by_user.append(torch.stack(losses).mean())
    return torch.stack(by_user).mean().item()


def test_the_default_is_the_softmax_over_the_catalogue(model) -> None:
    assert objective(model)(model, EXAMPLE) == info_nce.full(model, EXAMPLE)
    logits = logits_of(model)
    assert objective(model)(model, EXAMPLE) == info_nce.loss_from_logits(logits, EXAMPLE)


def test_items_the_user_likes_anywhere_are_no_negatives(model) -> None:
    masked = objective(model, mask_false_negatives=True)(model, EXAMPLE)
    assert masked.item() == pytest.approx(by_hand(logits_of(model), LIKED, [[], []]), rel=1e-5)
    assert masked < info_nce.full(model, EXAMPLE)


def test_hard_negatives_by_vectors_count_once_more(model) -> None:
    logits = logits_of(model)
    hard = [
        [int(i) for i in logits[user].argsort(descending=True) if int(i) not in LIKED[user]][:4]
        for user in (0, 1)
    ]
    loss = objective(model, hard=4, hard_by="vectors", mask_false_negatives=True)(model, EXAMPLE)
    assert loss.item() == pytest.approx(by_hand(logits, LIKED, hard), rel=1e-5)
    plain = objective(model, hard=4, hard_by="vectors")(model, EXAMPLE)
    assert plain > info_nce.full(model, EXAMPLE)


@pytest.mark.parametrize("full", [True, False])
def test_hard_negatives_by_co_occurrence_are_neighbours_that_were_not_liked(model, full) -> None:
    # Every neighbour of a target is item 20, but for the neighbours of 2: item 5, in the history.
    model.item.neighbour_index = torch.full_like(model.item.neighbour_index, 20)
    model.item.neighbour_index[2] = 5
    torch.manual_seed(0)
    config = {"hard": 3, "mask_false_negatives": True, "samples": 400_000, "power": 0}
    loss = objective(model, full=full, **config)(model, EXAMPLE)
    expected = by_hand(logits_of(model), LIKED, [[20] * 3, []])
    assert loss.item() == pytest.approx(expected, rel=1e-5 if full else 2e-3)


OWN = ({0, 3, 7, 8}, {5, 2})


@pytest.mark.parametrize("power", [0.0, 0.75])
def test_sampled_softmax_approaches_the_full_one_with_logq_alone(model, power) -> None:
    exact = by_hand(logits_of(model), OWN, [[], []])
    losses = {}
    for logq in (True, False):
        torch.manual_seed(0)
        drawn = objective(model, full=False, samples=200_000, power=power, logq=logq)
        losses[logq] = drawn(model, EXAMPLE).item()
    assert losses[True] == pytest.approx(exact, rel=2e-3)
    assert abs(losses[False] - exact) > 1.0
    # The full form counts a user's other targets as negatives, the sampled one does not.
    assert losses[True] == pytest.approx(info_nce.full(model, EXAMPLE).item(), rel=0.1)


@pytest.mark.parametrize("samples", [0, 20_000])
def test_in_batch_and_mixed_estimates_approach_the_full_sum_with_logq_alone(samples) -> None:
    """The targets of many other users, drawn by popularity, with and without uniform items."""
    torch.manual_seed(0)
    popularity = torch.arange(1.0, 13.0) ** 2
    probability = popularity / popularity.sum()
    others = torch.multinomial(probability, 20_000, replacement=True).tolist()
    example = batch([[0], [3]], [[7, 8], others])
    logits = torch.randn(2, 12, dtype=torch.float64)
    scored = _softmax.Scored(logits)
    own = scored.marked((torch.zeros(3, dtype=torch.int64), torch.tensor([0, 7, 8])))
    exact = _softmax.rest_of_all(scored, own)[0].item()
    uniform = NegativeSampler.from_popularity(popularity, power=0.0) if samples else None
    mixture = NegativeMixture(uniform, samples, probability)
    negatives = mixture.draw(example)
    assert len(negatives) == len(others) + 2 + samples
    estimates = {
        logq: _softmax.rest_by_sampling(scored, own, negatives, mixture, example, logq=logq)[
            0
        ].item()
        for logq in (True, False)
    }
    assert estimates[True] == pytest.approx(exact, abs=0.05)
    assert abs(estimates[False] - math.log(len(negatives) / 12) - exact) > 0.1
    assert abs(estimates[False] - exact) > 5.0


def test_more_mixed_negatives_come_closer(model) -> None:
    exact = by_hand(logits_of(model), OWN, [[], []])
    errors = []
    for samples in (10, 100_000):
        torch.manual_seed(1)
        loss = objective(model, negatives="mixed", samples=samples)(model, EXAMPLE)
        errors.append(abs(loss.item() - exact))
    assert errors[1] < 0.01 < errors[0]


def test_in_batch_negatives_are_the_other_users_targets(model) -> None:
    loss = objective(model, negatives="in_batch", logq=False)(model, EXAMPLE)
    logits = logits_of(model)
    one = functional.softplus(logits[0, 2] - logits[0, [7, 8]]).mean()
    two = torch.logsumexp(logits[1, [2, 7, 8]], 0) - logits[1, 2]
    torch.testing.assert_close(loss, (one + two) / 2)
    alone = replace(EXAMPLE, target_items=torch.tensor([7]), target_owner=torch.tensor([0]))
    assert objective(model, negatives="in_batch")(model, alone).item() == 0.0


def test_the_size_of_the_catalogue_chooses_the_form(model) -> None:
    rough = objective(model, full=False, samples=3)(model, EXAMPLE)
    assert torch.isfinite(rough) and rough != info_nce.full(model, EXAMPLE)
    everywhere = info_nce.mixture(info_nce.Config(), torch.ones(8), full_softmax=True)
    assert everywhere is None


def test_gradients_of_the_estimate_are_right() -> None:
    torch.manual_seed(0)
    example = batch([[0, 1], [2]], [[2, 3], [0]])
    sampler = NegativeSampler.from_popularity(torch.arange(6.0))
    mixture = NegativeMixture(sampler, 8, torch.full((6,), 1 / 6))
    negatives = mixture.draw(example)

    def loss(logits: torch.Tensor) -> torch.Tensor:
        scored = _softmax.Scored(logits)
        own = scored.marked(
            (example.owner, example.items), (example.target_owner, example.target_items)
        )
        rest = _softmax.rest_by_sampling(scored, own, negatives, mixture, example, logq=True)
        positive = scored.of(example.target_owner, example.target_items)
        return _softmax.mean_over_users(_softmax.against(positive, rest, example), example)

    assert torch.autograd.gradcheck(
        loss, (torch.randn(2, 6, dtype=torch.float64, requires_grad=True),)
    )
