import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoint.batches import Batch
from counterpoint.sampling import augment
from counterpoint.sampling.augment import OPERATIONS, Augmenter, similar_items
from tests.counterpoint.batch_maker import batch

EVENTS = st.lists(
    st.lists(st.tuples(st.integers(0, 99), st.booleans()), max_size=12), min_size=1, max_size=5
)
NEAR = torch.arange(100).unsqueeze(1) + 100, torch.ones(100, 1)


def ragged(events: list[list[tuple[int, bool]]]) -> Batch:
    return batch(
        [[i for i, _ in user] for user in events],
        [[1] for _ in events],
        [[p for _, p in user] for user in events],
    )


def users(view: Batch) -> list[list[tuple[int, bool]]]:
    """The events of each example; also checks owners and ages."""
    assert (view.owner.diff() >= 0).all()
    out = []
    for row in range(view.size):
        own = view.owner == row
        liked = view.positive[own].tolist()
        assert view.age[own].tolist() == [sum(liked[place + 1 :]) for place in range(len(liked))]
        out.append(list(zip(view.items[own].tolist(), liked, strict=True)))
    return out


def subsequence(part: list, whole: list) -> bool:
    rest = iter(whole)
    return all(event in rest for event in part)


@settings(max_examples=60, deadline=None)
@given(EVENTS, st.sampled_from(sorted(OPERATIONS)), st.floats(0.05, 0.95), st.integers(0, 999))
def test_each_operation_does_what_its_name_says(events, name, share, seed) -> None:
    torch.manual_seed(seed)
    chosen = torch.arange(len(events)) % 2 == 0
    view = OPERATIONS[name](ragged(events), chosen, share, NEAR)
    for row, (before, after) in enumerate(zip(events, users(view), strict=True)):
        if row % 2 or not before:
            assert after == before
            continue
        changed = math.ceil(torch.tensor(share * len(before), dtype=torch.float32).item())
        if name == "crop":
            assert len(after) == max(1, math.ceil((1 - share) * len(before) - 1e-5))
            assert any(before[s : s + len(after)] == after for s in range(len(before)))
        elif name == "mask":
            removed = min(math.floor(share * len(before) + 1e-5), len(before) - 1)
            assert len(after) == len(before) - removed and subsequence(after, before)
        elif name == "substitute":
            moved = [a != b for a, b in zip(before, after, strict=True)]
            assert sum(moved) == changed
            for (a, flag), (b, kept) in zip(before, after, strict=True):
                assert flag == kept and b in (a, a + 100)
        else:
            assert sorted(after) == sorted(before)
            places = [p for p, (a, b) in enumerate(zip(before, after, strict=True)) if a != b]
            assert not places or places[-1] - places[0] < changed


def test_each_history_is_changed_in_one_of_the_ways_and_loses_its_targets() -> None:
    torch.manual_seed(0)
    events = [[(10 * user + place, True) for place in range(10)] for user in range(9)]
    view = Augmenter(("crop", "substitute"), 0.4)(ragged(events), NEAR)
    lengths = [len(user) for user in users(view)]
    assert set(lengths) == {6, 10} and not len(view.target_items)
    for before, after in zip(events, users(view), strict=True):
        assert len(after) == 6 or sum(item >= 100 for item, _ in after) == 4
        assert len(after) == 10 or after[0] in before


def test_the_seed_determines_the_view() -> None:
    example = ragged([[(i, i % 3 > 0) for i in range(40)]])
    change = Augmenter(tuple(OPERATIONS), 0.5)
    views = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        views.append(users(change(example, NEAR)))
    assert views[0] == views[1] != views[2]


@pytest.mark.parametrize("name", ["crop", "reorder"])
def test_every_place_is_reached(name: str) -> None:
    torch.manual_seed(0)
    events = [[(place, True) for place in range(4)]] * 400
    chosen = torch.ones(400, dtype=torch.bool)
    seen = {
        tuple(i for i, _ in user)
        for user in users(OPERATIONS[name](ragged(events), chosen, 0.5, NEAR))
    }
    spans = {(0, 1), (1, 2), (2, 3)}
    swaps = {(0, 1, 2, 3), (1, 0, 2, 3), (0, 2, 1, 3), (0, 1, 3, 2)}
    assert seen == (spans if name == "crop" else swaps)


def test_similar_items_follow_the_weights() -> None:
    torch.manual_seed(0)
    index = torch.tensor([[1, 2, 3], [1, 1, 1]])
    weight = torch.tensor([[0.2, 0.0, 0.6], [0.0, 0.0, 0.0]])
    drawn = similar_items(torch.zeros(20_000, dtype=torch.int64), (index, weight))
    share = torch.bincount(drawn, minlength=4) / 20_000
    torch.testing.assert_close(share, torch.tensor([0.0, 0.25, 0.0, 0.75]), atol=0.02, rtol=0)
    assert similar_items(torch.tensor([1]), (index, weight)).item() == 1
    none = torch.zeros(2, 0, dtype=torch.int64), torch.zeros(2, 0)
    assert augment.similar_items(torch.tensor([1, 0]), none).tolist() == [1, 0]
