import pytest
import scipy.sparse as sp
import torch

from counterpoint.objectives import _softmax, label_propagation
from counterpoint.objectives.label_propagation import Config, LabelPropagation
from counterpoint.sampling.negatives import NegativeMixture, NegativeSampler
from tests.counterpoint import toys
from tests.counterpoint.batch_maker import batch, context, two_tower

LABELS = sp.csr_matrix([[0.5, 0.1, 0.3, 0, 0.1, 0], [0, 0, 0, 0.9, 0, 0.0]])
EXAMPLE = batch([[0], [2, 3]], [[5], [4]])


def test_by_hand() -> None:
    torch.manual_seed(0)
    model = two_tower(6).eval()
    loss = LabelPropagation(Config(shrinkage=3.0), LABELS, None)(model, EXAMPLE)
    logits = _softmax.score_all(model, EXAMPLE).logits[0]
    log_p = logits - torch.logsumexp(logits[1:], 0)
    # User 0 has liked item 0, which leaves 0.1, 0.3 and 0.1; user 1 has no label left.
    expected = -3.0 / 4.0 * (0.2 * log_p[1] + 0.6 * log_p[2] + 0.2 * log_p[4])
    torch.testing.assert_close(loss, expected)


def test_the_sampled_form_approaches_each_label_against_the_rest() -> None:
    torch.manual_seed(0)
    model = two_tower(6).eval()
    mixture = NegativeMixture(NegativeSampler.from_popularity(torch.arange(6.0)), 200_000, None)
    loss = LabelPropagation(Config(shrinkage=3.0), LABELS, mixture)(model, EXAMPLE)
    logits = _softmax.score_all(model, EXAMPLE).logits[0]
    losses = [torch.logsumexp(logits[[3, 5, i]], 0) - logits[i] for i in (1, 2, 4)]
    expected = 0.75 * (0.2 * losses[0] + 0.6 * losses[1] + 0.2 * losses[2])
    assert loss.item() == pytest.approx(expected.item(), rel=3e-3)


def test_a_user_with_one_like_is_taught_what_the_neighbours_like() -> None:
    torch.manual_seed(0)
    users = toys.histories([(0, True)], [(0, True), (1, True)], [(0, True), (1, True)])
    model = two_tower(8)
    objective = label_propagation.build(Config(), context(model, users))
    owner, items, mass = objective.labels.entries(torch.tensor([0]))
    assert owner.tolist() == [0, 0] and items.tolist() == [0, 1]
    torch.testing.assert_close(mass, torch.tensor([0.75, 0.25]))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    example = batch([[0]], [[]])
    for _ in range(30):
        optimizer.zero_grad()
        objective(model, example).backward()
        optimizer.step()
    assert _softmax.score_all(model.eval(), example).logits[0, 1:].argmax() == 0
