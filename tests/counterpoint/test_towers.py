import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoint.batches import Batch
from counterpoint.config.train import TowerConfig
from counterpoint.model_inputs import pad
from counterpoint.towers import TwoTower, initial_ids
from tests.counterpoint import toys
from tests.counterpoint.batch_maker import batch, two_tower

EVENTS = st.lists(
    st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=6), min_size=1, max_size=4
)


def ragged(events: list[list[tuple[int, bool]]]) -> Batch:
    return batch(
        [[i for i, _ in user] for user in events],
        [[] for _ in events],
        [[p for _, p in user] for user in events],
    )


def padded_vectors(model: TwoTower, events: list[list[tuple[int, bool]]]) -> torch.Tensor:
    inputs = pad(toys.histories(*events), ["none"], 512)
    history = torch.from_numpy(inputs.history)
    kind = torch.from_numpy(inputs.history_kind)
    return model.user.padded(
        (history - 1).clamp(min=0), torch.from_numpy(inputs.history_age), kind == 1, kind == 2
    )[0]


@settings(max_examples=40, deadline=None)
@given(EVENTS)
def test_the_served_form_equals_the_trained_one(events) -> None:
    torch.manual_seed(0)
    model = two_tower(10).eval()
    torch.testing.assert_close(padded_vectors(model, events), model.user(ragged(events)))


def test_a_users_vector_depends_on_the_own_history_alone() -> None:
    torch.manual_seed(0)
    model = two_tower(10).eval()
    events = [[(1, True), (2, False)], [(3, True)], []]
    together = model.user(ragged(events))
    for row, user in enumerate(events):
        torch.testing.assert_close(model.user(ragged([user]))[0], together[row])
    moved = model.user(ragged([[(2, False), (1, True)], [(4, True)], []]))
    assert not torch.allclose(moved[1], together[1])


def test_recent_positives_count_more_in_the_recency_pools() -> None:
    model = two_tower(10)
    age = torch.tensor([[2.0, 1.0, 0.0]])
    liked = torch.ones(1, 3, dtype=torch.bool)
    raw = model.user.raw_weights(torch.tensor([[1, 1, 1]]), age, liked, ~liked)
    torch.testing.assert_close(raw[1][0], torch.exp(-age[0] / 1.2))
    torch.testing.assert_close(raw[2][0], torch.exp(-age[0] / 10.0))
    assert raw[0][0].unique().numel() == 1 and (raw[3] == 0).all()


def test_a_subset_of_items_equals_its_rows_of_all() -> None:
    torch.manual_seed(0)
    model = two_tower(12, cold=2).eval()
    vectors, bias = model.item()
    index = torch.tensor([11, 3, 3, 0])
    part, part_bias = model.item(index)
    torch.testing.assert_close(part, vectors[index])
    torch.testing.assert_close(part_bias, bias[index])
    torch.testing.assert_close(vectors.norm(dim=-1), torch.ones(12))


def test_cold_items_depend_on_their_text_alone() -> None:
    torch.manual_seed(0)
    model = two_tower(12, cold=2, smoothing=0.0).eval()
    before, _ = model.item()
    with torch.no_grad():
        model.item.id.weight[[2, 11]] += 1.0
    after, _ = model.item()
    assert torch.equal(after[11], before[11]) and not torch.equal(after[2], before[2])


def test_ids_start_from_the_text() -> None:
    text = torch.from_numpy(np.random.default_rng(0).standard_normal((20, 6)).astype(np.float32))
    text[3] = 0
    ids = initial_ids(text, TowerConfig(dim=8, id_scale=0.2))
    centred = text - text[[i for i in range(20) if i != 3]].mean(0)
    cosine = torch.nn.functional.cosine_similarity
    for a, b in ((0, 1), (5, 9)):
        assert abs(cosine(ids[a], ids[b], 0) - cosine(centred[a], centred[b], 0)) < 0.1
    assert torch.isfinite(ids).all() and ids[3].abs().sum() > 0


def test_without_text_or_with_one_item_ids_are_noise() -> None:
    for shape in ((5, 0), (1, 4), (3, 4)):
        ids = initial_ids(torch.zeros(shape), TowerConfig(dim=8))
        assert ids.shape == (shape[0], 8) and torch.isfinite(ids).all() and (ids != 0).all()
