import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterpoint.start_page import DEPTH, diversified


def pages(seed: int, items: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(items, 4)).astype(np.float32)
    features[rng.random(items) < 0.2] = 0
    return rng.permutation(np.linspace(-5, 0, items)).astype(np.float32), features


def order(base: np.ndarray) -> list[int]:
    return np.argsort(-base, kind="stable").tolist()


def test_a_double_waits_until_it_is_liked_enough_more() -> None:
    base = np.log(np.array([10, 9, 5, 4], dtype=np.float32))
    features = np.array([[1, 0], [2, 0], [0, 1], [0, 0]], dtype=np.float32)
    assert order(diversified(base, features, strength=0.5)) == [0, 1, 2, 3]
    # 9 exp(-0.7) = 4.5: less than 5, more than 4.
    assert order(diversified(base, features, strength=0.7)) == [0, 2, 1, 3]
    assert order(diversified(base, features, strength=1.0)) == [0, 2, 3, 1]


@given(seed=st.integers(0, 50), items=st.integers(0, 30), strength=st.floats(0, 5))
def test_popularities_are_dealt_out_anew_and_the_tail_stays(seed, items, strength) -> None:
    base, features = pages(seed, items)
    out = diversified(base, features, strength=strength, depth=5)
    np.testing.assert_array_equal(np.sort(out), np.sort(base))
    assert order(out)[:1] == order(base)[:1]
    assert order(out)[10:] == order(base)[10:]
    assert out.dtype == base.dtype


def test_nothing_changes_at_strength_0_or_without_features() -> None:
    base, features = pages(1, 20)
    assert diversified(base, features, strength=0.0) is base
    for nothing in (np.zeros((20, 3), dtype=np.float32), np.zeros((20, 0), dtype=np.float32)):
        np.testing.assert_array_equal(diversified(base, nothing, strength=2.0), base)


def test_a_page_of_one_genre_becomes_a_page_of_all() -> None:
    """Twenty popular films of one genre no longer hide the five others."""
    genre = np.array([0] * 20 + [1, 2, 3, 4, 5])
    features = np.eye(6, dtype=np.float32)[genre]
    base = -0.02 * np.arange(25, dtype=np.float32)
    first = order(diversified(base, features, strength=1.0))[:6]
    assert {int(genre[i]) for i in first} == {0, 1, 2, 3, 4, 5}


@pytest.mark.parametrize("depth", [1, 3, DEPTH])
def test_greedy_places_agree_with_the_definition(depth: int) -> None:
    base, features = pages(3, 40)
    unit = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    pool = order(base)[: 2 * depth]
    expected: list[int] = []
    while len(expected) < min(depth, 40):
        left = [i for i in pool if i not in expected]
        worth = [
            base[i] - 0.8 * max((max(0.0, float(unit[i] @ unit[j])) for j in expected), default=0.0)
            for i in left
        ]
        expected.append(left[int(np.argmax(worth))])
    found = order(diversified(base, features, strength=0.8, depth=depth))[: len(expected)]
    assert found == expected
