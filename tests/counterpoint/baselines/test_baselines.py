import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics.pairwise import cosine_similarity

from counterpoint import baselines, plugins
from counterpoint.config.base import Section
from counterpoint.errors import ConfigError
from counterpoint.metrics import EMPTY
from counterpoint.topk import rank
from tests.counterpoint.baselines.toys import dense, histories, two_tastes, two_texts

PACKAGE = "counterpoint.baselines"
NAMES = plugins.names(PACKAGE)
DAY_US = 86_400_000_000


# Options that let the trained ones finish in a moment on toys; none for the closed forms.
QUICK = {
    "bpr": {"epochs": 100},
    "lightgcn": {"epochs": 100},
    "xsimgcl": {"epochs": 100},
    "sasrec": {"epochs": 30, "factors": 16, "layers": 1, "dropout": 0},
}
IMPERSONAL = ("popularity", "recent_popularity")


def fitted(name, train, n_items, text=None, **options):
    options = QUICK.get(name, {}) | options
    return baselines.fit(name, train, n_items=n_items, options=options, text=text)


@pytest.mark.parametrize("name", NAMES)
class TestContract:
    """What every baseline keeps the moment its file exists."""

    def test_has_documented_options(self, name):
        plugin = plugins.load(PACKAGE, name)
        assert issubclass(plugin.Config, Section)
        assert plugin.__doc__ and plugin.fit.__doc__

    def test_scores_any_histories_finitely_and_reproducibly(self, name):
        train = two_tastes()
        scorer = fitted(name, train, 21, two_texts())
        batch = histories([[], [0, 20, 0], [3, 4, 5]], positive=[1, 0, 1, 1, 1, 1])
        scores = scorer.score(batch)
        assert scores.shape == (3, 21)
        assert scores.dtype == np.float32
        assert np.isfinite(scores).all()
        again = fitted(name, train, 21, two_texts()).score(batch)
        np.testing.assert_array_equal(scores, again)
        alone = scorer.score(batch.take(np.array([2])))[0]
        np.testing.assert_allclose(alone, scores[2], rtol=1e-4, atol=1e-6)

    def test_folds_in_users_it_never_met(self, name):
        scorer = fitted(name, two_tastes(), 21, two_texts())
        batch = histories([[0, 1, 2], [0, 1, 2]], names=["never met", "nor this one"])
        scores = scorer.score(batch)
        np.testing.assert_allclose(scores[0], scores[1], rtol=1e-4, atol=1e-6)

    def test_lists_longer_than_the_catalogue_end_early(self, name):
        scorer = fitted(name, two_tastes(), 21, two_texts())
        top = rank(scorer, histories([[0, 1]]), n_items=21, k=50, seed=0)
        assert sorted(top[0][top[0] != EMPTY]) == list(range(2, 21))

    def test_fits_on_nothing_liked(self, name):
        train = histories([[0, 1], []], positive=[0, 0])
        scorer = fitted(name, train, 3)
        assert np.isfinite(scorer.score(histories([[0], []]))).all()

    def test_ignores_what_was_not_liked(self, name):
        lists = [[0, 1, 2], [0, 1], [1, 2], [0, 2]]
        liked = histories(lists)
        mixed = histories(
            [[*one, 3] for one in lists],
            positive=[p for one in lists for p in [1] * len(one) + [0]],
        )
        batch = histories([[0]])
        for_liked = fitted(name, liked, 4).score(batch)
        for_mixed = fitted(name, mixed, 4).score(batch)
        np.testing.assert_allclose(for_liked, for_mixed, rtol=1e-5, atol=1e-6)

    def test_fits_one_user_and_one_item(self, name):
        scorer = fitted(name, histories([[0]]), 1)
        assert np.isfinite(scorer.score(histories([[0], []]))).all()

    def test_its_grid_holds_valid_options_and_starts_with_the_defaults(self, name):
        plugin = plugins.load(PACKAGE, name)
        for stage in getattr(plugin, "GRID", ()):
            for option, values in stage.items():
                assert values[0] == getattr(plugin.Config(), option)
                for value in values:
                    baselines.configure(name, {option: value})

    def test_refuses_unknown_options_by_name(self, name):
        with pytest.raises(ConfigError, match=rf"evaluate.baselines.{name}.nonsense"):
            baselines.fit(name, two_tastes(), n_items=21, options={"nonsense": 1})


@pytest.mark.parametrize("name", [name for name in NAMES if name not in IMPERSONAL])
def test_personal_baselines_follow_the_users_taste(name):
    scorer = fitted(name, two_tastes(), 21, two_texts())
    scores = scorer.score(histories([[0, 1, 2], [10, 11, 12]], names=["new", "too"]))
    assert scores[0, 3:10].min() > scores[0, 13:20].max()
    assert scores[1, 13:20].min() > scores[1, 3:10].max()


def test_recent_popularity_counts_the_window():
    times = [0, 1, 2, 9 * DAY_US, 10 * DAY_US]
    train = histories([[0, 0, 1], [1, 2]], timestamps=times)
    scorer = baselines.fit("recent_popularity", train, n_items=4, options={"window_days": 1})
    np.testing.assert_array_equal(scorer.score(histories([[]]))[0], [0, 1, 1, 0])


def test_popularity_counts_and_decays():
    train = histories([[0, 0, 1], [1, 2]], timestamps=[0, 0, 0, 2 * DAY_US, 2 * DAY_US])
    everyone = histories([[], [1]])
    plain = baselines.fit("popularity", train, n_items=4, options={}).score(everyone)
    np.testing.assert_allclose(plain, [[2, 2, 1, 0]] * 2)
    recent = baselines.fit("popularity", train, n_items=4, options={"half_life_days": 1})
    np.testing.assert_allclose(recent.score(everyone)[0], [0.5, 1.25, 1, 0])


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 1000), st.integers(1, 8))
def test_item_knn_equals_dense_cosine(seed, block):
    rng = np.random.default_rng(seed)
    lists = [rng.choice(8, size=4, replace=False).tolist() for _ in range(12)]
    options = {"neighbours": 8, "shrinkage": 0, "block": block}
    scorer = baselines.fit("item_knn", histories(lists), n_items=8, options=options)
    similarity = cosine_similarity(dense(lists, 8).T)
    np.fill_diagonal(similarity, 0)
    asked = [[0, 1], [7]]
    np.testing.assert_allclose(
        scorer.score(histories(asked)), dense(asked, 8) @ similarity, rtol=1e-5, atol=1e-6
    )


def test_item_knn_keeps_the_nearest_only():
    lists = [[0, 1], [0, 1], [0, 1], [0, 2]]
    options = {"neighbours": 1, "shrinkage": 0}
    scorer = baselines.fit("item_knn", histories(lists), n_items=3, options=options)
    scores = scorer.score(histories([[2], [1]]))
    # Item 0 is scored by its nearest item 1 alone; item 2 by item 0.
    assert scores[0, 0] == 0
    assert scores[1, 0] > 0


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("ease", {"l2": 3.0}),
        ("edlae", {"l2": 3.0, "dropout": 0.4}),
        ("edlae_recency", {"l2": 3.0, "dropout": 0.4, "recency": 0}),
    ],
)
def test_linear_weights_satisfy_the_optimality_conditions(name, options):
    """Off the diagonal, (Gram + penalty) B - Gram is zero: the constrained gradient vanishes."""
    train = two_tastes(users=30)
    likes = train.matrix(21, positive_only=True).toarray()
    weights = baselines.fit(name, train, n_items=21, options=options).score(
        histories([[item] for item in range(21)])
    )
    np.testing.assert_array_equal(np.diag(weights), 0)
    gram = likes.T @ likes
    p = options.get("dropout", 0.0)
    penalty = np.diag(options["l2"] + p / (1 - p) * np.diag(gram))
    gradient = (gram + penalty) @ weights - gram
    np.fill_diagonal(gradient, 0)
    # Item 20 has no likes: it takes part in no equation.
    np.testing.assert_allclose(gradient[:20, :20], 0, atol=1e-4)


def test_edlae_without_denoising_and_recency_is_ease():
    train = two_tastes()
    batch = histories([[0, 1, 2], [12]])
    options = {"l2": 50, "dropout": 0, "recency": 0}
    ease = baselines.fit("ease", train, n_items=21, options={"l2": 50}).score(batch)
    edlae = baselines.fit("edlae_recency", train, n_items=21, options=options).score(batch)
    np.testing.assert_allclose(edlae, ease, rtol=1e-5, atol=1e-7)


def test_recency_weights_follow_the_positives_since():
    train = two_tastes()
    options = {"recency": 4.0, "decay": 5.0}
    scorer = baselines.fit("edlae_recency", train, n_items=21, options=options)
    single = scorer.score(histories([[0], [1]])) / 5
    # Event 0 is one positive old (the event on 2 was not liked), event 1 is the newest.
    both = scorer.score(histories([[0, 2, 1]], positive=[1, 0, 1]))[0]
    expected = (1 + 4 * np.exp(-1 / 5)) * single[0] + 5 * single[1]
    np.testing.assert_allclose(both, expected, rtol=1e-4, atol=1e-6)


def test_the_dense_solve_is_bounded_to_the_most_liked_items():
    lists = [[0, 1, 2], [0, 1], [0, 1, 3], [0, 2]]
    scorer = baselines.fit("ease", histories(lists), n_items=5, options={"max_items": 2})
    scores = scorer.score(histories([[0, 3]]))
    assert sp.csr_matrix(scores).indices.tolist() == [1]
