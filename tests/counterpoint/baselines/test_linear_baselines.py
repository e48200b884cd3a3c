"""CEASE and SLIST against an explicit solve, content against its definition."""

import numpy as np

from counterpoint import baselines
from tests.counterpoint.baselines.toys import dense, histories, two_tastes, two_texts


def one_item_each(n_items):
    return histories([[item] for item in range(n_items)])


def test_cease_solves_the_constrained_regression_with_the_text_kernel():
    train, text = two_tastes(users=30), two_texts()
    options = {"l2": 3.0, "dropout": 0.4, "text_weight": 7.0, "recency": 0}
    weights = baselines.fit("cease", train, n_items=21, options=options, text=text).score(
        one_item_each(21)
    )
    likes = train.matrix(21, positive_only=True).toarray()
    ridge = 3 + 0.4 / 0.6 * likes.sum(axis=0)[:20]
    system = (likes.T @ likes + 7 * text @ text.T)[:20, :20] + np.diag(ridge)
    for column in range(20):
        # Without the column's own row and variable the constraint is gone.
        rest = [row for row in range(20) if row != column]
        expected = np.linalg.solve(system[np.ix_(rest, rest)], system[rest, column])
        np.testing.assert_allclose(weights[rest, column], expected, rtol=1e-4, atol=1e-5)
        assert weights[column, column] == 0


def test_cease_without_text_is_edlae_with_recency():
    train, batch = two_tastes(), histories([[0, 1, 2], [12]])
    cease = baselines.fit("cease", train, n_items=21, options={"recency": 4.0}).score(batch)
    edlae = baselines.fit("edlae_recency", train, n_items=21, options={}).score(batch)
    np.testing.assert_allclose(cease, edlae, rtol=1e-6)


def test_slist_minimises_its_objective_under_its_constraint():
    lists = [[0, 1, 2, 3], [1, 2, 4], [3, 4, 0, 2], [2, 1], [4, 0, 1]]
    share, span, l2, n_items = 0.4, 2.0, 1.5, 5
    likes, before, after = dense(lists, n_items), [], []
    for one in lists:
        for place in range(len(one) - 1):
            row_before, row_after = np.zeros(n_items), np.zeros(n_items)
            for other, item in enumerate(one):
                (row_before if other <= place else row_after)[item] = np.exp(
                    -abs(place - other) / span
                )
            before.append(row_before)
            after.append(row_after)
    before, after = np.array(before), np.array(after)
    options = {"l2": l2, "share": share, "span": span, "decay": 1e9}
    weights = baselines.fit("slist", histories(lists), n_items=n_items, options=options).score(
        one_item_each(n_items)
    )
    slope = (
        share * likes.T @ (likes @ weights - likes)
        + (1 - share) * before.T @ (before @ weights - after)
        + l2 * weights
    )
    off = ~np.eye(n_items, dtype=bool)
    np.testing.assert_allclose(slope[off], 0, atol=1e-4)
    diagonal = np.diag(weights)
    assert (diagonal < 1e-5).all()
    # On the bound the slope may only push outwards; inside it vanishes (Karush, Kuhn, Tucker).
    assert (np.diag(slope) < 1e-4).all()
    np.testing.assert_allclose(np.diag(slope) * diagonal, 0, atol=1e-4)


def test_slist_weighs_late_events_more():
    scorer = baselines.fit("slist", two_tastes(), n_items=21, options={"decay": 2.0})
    single = scorer.score(histories([[0], [12]]))
    both = scorer.score(histories([[0, 12]]))[0]
    expected = np.exp(-1 / 2) * single[0] + single[1]
    np.testing.assert_allclose(both, expected, rtol=1e-4, atol=1e-6)


def test_content_is_the_cosine_of_centred_texts():
    text = two_texts()
    scorer = baselines.fit("content", two_tastes(), n_items=21, options={}, text=text)
    scores = scorer.score(histories([[3], [20], []]))
    centred = text[:20] - text[:20].mean(axis=0)
    expected = centred @ centred[3] / np.linalg.norm(centred, axis=1)
    np.testing.assert_allclose(
        scores[0, :20], expected / np.linalg.norm(centred[3]), rtol=1e-4, atol=1e-6
    )
    np.testing.assert_array_equal(scores[0, 20], 0)
    np.testing.assert_array_equal(scores[1:], 0)
