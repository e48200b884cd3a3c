import numpy as np
import torch

from counterpoint import prior
from counterpoint.histories import Histories
from counterpoint.prior import PriorScorer
from tests.counterpoint import toys


def log(attributes: list[list[str]] | None = None) -> Histories:
    return toys.histories(
        [(0, True), (1, True)],
        [(0, True), (2, False)],
        [(1, True), (3, True)],
        attributes=attributes,
    )


def test_popularity_counts_positives_and_halves_with_age() -> None:
    ever = prior.popularity(log(), 4, half_life_days=None)
    assert ever.tolist() == [2, 2, 0, 1]
    # Events lie a second apart; the newest positive is the last event, of item 3.
    recent = prior.popularity(log(), 4, half_life_days=1 / 86_400)
    np.testing.assert_allclose(recent, [2**-5 + 2**-3, 2**-4 + 2**-1, 0, 1])


def test_no_two_items_share_a_score() -> None:
    tables = prior.fit(log(), 4, tokens=["none"], half_life_days=None, shrinkage=1.0)
    assert len(set(tables.base.tolist())) == 4
    assert tables.base[[0, 1, 3, 2]].tolist() == sorted(tables.base.tolist(), reverse=True)


def test_attributes_shift_towards_what_such_users_like() -> None:
    tables = prior.fit(
        log([["club=a"], ["club=a"], ["club=b"]]),
        4,
        tokens=["club=a", "club=b"],
        half_life_days=None,
        shrinkage=0.5,
    )
    scorer = PriorScorer(torch.from_numpy(tables.base), torch.from_numpy(tables.shift))
    nobody, a, b = scorer(torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
    torch.testing.assert_close(nobody, torch.from_numpy(tables.base))
    assert a.argmax() == 0 and b.argmax() in (1, 3)
    expected = np.log((2 + 0.5 * 2.1 / 5.4) / 3.5 / (2.1 / 5.4))
    np.testing.assert_allclose(float(a[0] - nobody[0]), expected, rtol=1e-5)


def test_rare_attributes_are_left_out_and_a_token_always_remains() -> None:
    owned = [["a=1", "b=1"], ["a=1"], ["c=1"]]
    assert prior.vocabulary(owned, min_users=2, max_tokens=9) == ["a=1"]
    assert prior.vocabulary(owned, min_users=1, max_tokens=2) == ["a=1", "b=1"]
    assert prior.vocabulary([], min_users=1, max_tokens=2) == [prior.NO_ATTRIBUTE]


def test_unknown_tokens_are_ignored() -> None:
    assert prior.multi_hot([["x=1", "a=1"], []], ["a=1"]).tolist() == [[1.0], [0.0]]
