import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given
from hypothesis import strategies as st

from counterpoint.config.encoder import HardNegativesConfig, PairsConfig
from counterpoint.encoder.hard_negatives import NONE, HardNegatives
from counterpoint.encoder.item_pairs import Pairs, PairSampler
from counterpoint.histories import Histories
from tests.counterpoint import toys

N = 12
events = st.lists(st.tuples(st.integers(0, N - 1), st.booleans()), max_size=15)
users = st.lists(events, min_size=1, max_size=6)


def places_of(histories: Histories, user: int, item: int, allowed: np.ndarray) -> list[int]:
    part = slice(histories.indptr[user], histories.indptr[user + 1])
    kept = histories.positive[part] & allowed[histories.items[part]]
    return np.flatnonzero(histories.items[part][kept] == item).tolist()


@given(users, st.integers(0, 1000), st.sampled_from(["next_item", "session", "co_interaction"]))
def test_pairs_are_what_one_user_liked_within_the_reach(given_users, seed, source) -> None:
    histories = toys.histories(*given_users)
    allowed = np.random.default_rng(seed).random(N) < 0.8
    none = dict.fromkeys(("next_item", "session", "co_interaction"), 0.0)
    config = PairsConfig(**none | {source: 1.0}, session_items=3)
    sampler = PairSampler(histories, allowed, config)
    if not len(sampler):
        return
    drawn = sampler.draw(20, np.random.default_rng(seed))
    reach = {"next_item": 1, "session": 3, "co_interaction": 99}[source]
    for anchor, positive, row in zip(drawn.anchor, drawn.positive, drawn.user, strict=True):
        user = sampler.users[row]
        assert anchor != positive and allowed[anchor] and allowed[positive]
        assert {anchor, positive} <= set(sampler.positives(row))
        gaps = [
            abs(one - other)
            for one in places_of(histories, user, anchor, allowed)
            for other in places_of(histories, user, positive, allowed)
        ]
        assert min(gaps) <= reach


def test_only_the_newest_positives_are_paired() -> None:
    histories = toys.histories([(item, True) for item in range(10)])
    sampler = PairSampler(histories, np.ones(N, bool), PairsConfig(max_positives=3))
    drawn = sampler.draw(200, np.random.default_rng(0))
    assert {*drawn.anchor, *drawn.positive} == {7, 8, 9}


def test_the_probability_is_that_of_drawing() -> None:
    histories = toys.histories(
        [(item, True) for item in range(4)], [(item, True) for item in range(3, 12)]
    )
    sampler = PairSampler(histories, np.ones(N, bool), PairsConfig(session=0.0, co_interaction=1.0))
    share = sampler.probability()
    assert share.sum() == pytest.approx(1)
    drawn = sampler.draw(20_000, np.random.default_rng(1))
    seen = np.bincount([*drawn.anchor, *drawn.positive], minlength=N) / 40_000
    np.testing.assert_allclose(seen, share, atol=0.01)


def test_a_user_of_one_item_is_left_out() -> None:
    histories = toys.histories([(3, True), (3, True)], [(1, True)])
    sampler = PairSampler(histories, np.ones(N, bool), PairsConfig())
    assert len(sampler.draw(5, np.random.default_rng(0))) == 0


@given(st.integers(0, 10_000), st.integers(1, 4), st.sampled_from([0.0, 0.2]))
def test_hard_negatives_are_near_unmet_and_below_the_positive(seed, count, margin) -> None:
    random = np.random.default_rng(seed)
    liked = sp.csr_matrix((random.random((8, 20)) < 0.2).astype(np.float32))
    allowed = random.random(20) < 0.9
    vectors = torch.nn.functional.normalize(torch.from_numpy(random.normal(size=(20, 5))), dim=1)
    vectors = vectors.float()
    config = HardNegativesConfig(count=count, depth=6, margin=margin)
    hard = HardNegatives(liked, allowed, config)
    items = np.flatnonzero(allowed)
    if len(items) < 2:
        return
    pairs = Pairs(*(random.choice(items, 9) for _ in range(2)), np.zeros(9, np.int64))
    assert (hard.draw(pairs, random) == NONE).all()
    hard.mine(vectors)
    together = (liked.T @ liked).toarray() > 0
    drawn = hard.draw(pairs, random)
    assert drawn.shape == (9, count)
    for anchor, positive, row in zip(pairs.anchor, pairs.positive, drawn, strict=True):
        found = row[row != NONE]
        assert len(set(found)) == len(found)
        bound = float(vectors[anchor] @ vectors[positive]) - margin
        open_ = [i for i in items if i != anchor and not together[anchor, i]]
        nearest = sorted(open_, key=lambda i: -float(vectors[anchor] @ vectors[i]))[:6]
        fit = [i for i in nearest if float(vectors[anchor] @ vectors[i]) < bound - 1e-6]
        assert set(found) <= set(nearest) and len(found) >= min(count, len(fit))
        assert all(float(vectors[anchor] @ vectors[i]) < bound + 1e-6 for i in found)
