import numpy as np
import pytest

from counterpoint.histories import Histories
from counterpoint.nearest_users import UserIndex
from tests.counterpoint import toys


def crowd() -> Histories:
    """Items 0, 1: a taste; 2, 3: another; everybody likes 4; item 5 is liked by the first taste."""
    first = [(0, True), (1, True), (4, True), (5, True)]
    second = [(2, True), (3, True), (4, True), (5, False)]
    return toys.histories(first, first[:2], second, second, first)


def test_neighbours_share_the_taste_and_liked_the_item() -> None:
    user = toys.histories([(0, True), (1, True), (2, False)])
    found = UserIndex(crowd(), 6).neighbours(
        Histories(["x"], user.indptr, user.items, user.positive, user.timestamps), 5
    )
    assert {n.user_id for n in found.nearest} == {"h0", "h4"}
    assert all(n.common == 2 for n in found.nearest)
    assert found.pool == 3 and found.liked == 2
    assert found.expected == pytest.approx(3 * 2 / 5)


def test_the_user_is_not_his_own_neighbour() -> None:
    people = crowd()
    found = UserIndex(people, 6).neighbours(people.take(np.array([0])), 5)
    assert [n.user_id for n in found.nearest] == ["h4"]


def test_similarity_is_the_cosine_of_rarity_weighted_likes() -> None:
    people = crowd()
    weight = np.log(5 / np.array([3, 3, 2, 2, 4, 2]))
    liked = people.matrix(6, positive_only=True).toarray() * weight
    unit = liked / np.linalg.norm(liked, axis=1, keepdims=True)
    user = toys.histories([(0, True), (5, True)])
    stranger = Histories(["x"], user.indptr, user.items, user.positive, user.timestamps)
    own = np.array([weight[0], 0, 0, 0, 0, weight[5]])
    expected = unit @ own / np.linalg.norm(own)
    found = UserIndex(people, 6).neighbours(stranger, 1, show=9)
    assert {n.user_id: n.similarity for n in found.nearest} == {
        f"h{u}": pytest.approx(expected[u], rel=1e-5) for u in (0, 1, 4)
    }


def test_nobody_is_near_an_empty_history_or_an_unmet_item() -> None:
    index = UserIndex(crowd(), 6)
    nobody = index.neighbours(toys.histories([]), 0)
    assert nobody.nearest == [] and nobody.pool == nobody.liked == 0
    user = toys.histories([(0, True), (9, True)])
    assert index.neighbours(user, 7).nearest == []
