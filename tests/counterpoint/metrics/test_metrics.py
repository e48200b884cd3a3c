import numpy as np
import polars as pl
import pytest
import pytrec_eval
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, ndcg_score

from counterpoint import columns, metrics, plugins
from counterpoint.errors import ConfigError, DataError
from counterpoint.metrics import EMPTY, Ranking, measure

PACKAGE = "counterpoint.metrics"


def ranking(top, targets, *, popularity=(8, 4, 2, 1, 0, 1), attributes=None, train_users=16):
    n_items = len(popularity)
    relevant = np.zeros((len(top), n_items), dtype=bool)
    for row, items in enumerate(targets):
        relevant[row, items] = True
    tokens = np.zeros((n_items, 0)) if attributes is None else np.array(attributes)
    return Ranking(
        np.array(top, dtype=np.int64),
        sp.csr_matrix(relevant),
        np.array(popularity),
        train_users,
        sp.csr_matrix(tokens.astype(bool)),
    )


TWO = ranking([[0, 1, 2], [3, 0, EMPTY]], [[1, 2], [3, 4, 5, 1]])
"""First user: hits at 2 and 3 of 2 targets. Second: a hit at 1 of 4, one place unfilled."""

D2, D3, R2 = 1 / np.log2(3), 0.5, np.sqrt(2)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ndcg", [(D2 + D3) / (1 + D2), 1 / (1 + D2 + D3)]),
        ("ndcg@1", [0, 1]),
        ("recall", [1, 1 / 4]),
        ("recall@2", [1 / 2, 1 / 4]),
        ("precision", [2 / 3, 1 / 3]),
        ("f1", [2 * (2 / 3) / (2 / 3 + 1), 2 * (1 / 3 * 1 / 4) / (1 / 3 + 1 / 4)]),
        ("mrr", [1 / 2, 1]),
        ("map", [(1 / 2 + 2 / 3) / 2, 1 / 3]),
        ("hit_rate", [1, 1]),
        ("hit_rate@1", [0, 1]),
        ("novelty", [(1 + 2 + 3) / 3, (4 + 1) / 2]),
        ("popularity_bias", [(6 + 5 + 4) / 18, (2.5 + 6) / 12]),
        # Weights: 1 / 2 and 1 / sqrt(2) of targets 1 and 2; 1, 1, 1 and 1 / 2 of the others.
        ("ndcg_debiased", [(D2 / 2 + D3 / R2) / (1 / R2 + D2 / 2), 1 / (1 + D2 + D3)]),
        ("recall_stratified@2", [(1 / 2) / (1 / 2 + 1 / R2), 1 / 3.5]),
    ],
)
def test_known_answers(name, expected):
    measured = measure(name, TWO, k=3)
    np.testing.assert_allclose(measured.per_user, expected)
    assert measured.value == pytest.approx(np.mean(expected))


def test_coverage_and_gini_known_answers():
    assert measure("coverage", TWO, k=3).value == pytest.approx(4 / 6)
    everything = ranking([[0, 1, 2], [3, 4, 5]], [[0], [1]])
    assert measure("gini", everything, k=3).value == pytest.approx(0)
    one = ranking([[2], [2]], [[0], [1]])
    assert measure("gini", one, k=1).value == pytest.approx(5 / 6)


def test_diversity_known_answers():
    tokens = [[1, 1, 0], [1, 0, 0], [0, 0, 1], [0, 0, 0], [0, 0, 0], [0, 0, 0]]
    lists = ranking([[0, 1, 2], [3, 0, EMPTY], [1, 1, 1]], [[0], [0], [0]], attributes=tokens)
    # Jaccard distances 1/2, 1 and 1; the second user's list has only one described item.
    np.testing.assert_allclose(measure("diversity", lists, k=3).per_user, [2.5 / 3, np.nan, 0])
    assert measure("diversity", lists, k=3).value == pytest.approx(2.5 / 6)


def test_undefined_everywhere_is_nan_not_zero():
    nothing = ranking([[EMPTY, EMPTY]], [[0]])
    assert measure("ndcg", nothing, k=2).value == 0
    for name in ("novelty", "diversity", "popularity_bias", "gini"):
        assert np.isnan(measure(name, nothing, k=2).value), name


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 15))
def test_ndcg_and_map_agree_with_scikit_learn(seed, k):
    rng = np.random.default_rng(seed)
    users, n_items = 4, 15
    scores = rng.permuted(np.tile(np.arange(n_items, dtype=float), (users, 1)), axis=1)
    relevant = rng.random((users, n_items)) < 0.3
    relevant[:, 0] = True
    top = np.argsort(-scores, axis=1)[:, :k]
    lists = ranking(top, [np.flatnonzero(r) for r in relevant], popularity=np.ones(n_items, int))
    ours = measure("ndcg", lists, k=k).per_user
    pairs = list(zip(relevant.astype(float), scores, strict=True))
    theirs = [ndcg_score(r[None], s[None], k=k) for r, s in pairs]
    np.testing.assert_allclose(ours, theirs)
    full = ranking(
        np.argsort(-scores, axis=1), [np.flatnonzero(r) for r in relevant], popularity=np.ones(15)
    )
    np.testing.assert_allclose(
        measure("map", full, k=15).per_user,
        [average_precision_score(r, s) for r, s in pairs],
    )


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10_000), st.integers(1, 12), st.integers(1, 12))
def test_agrees_with_trec_eval(seed, k, length):
    """Lists of any length, holes at the end, any number of targets, against NIST's program."""
    rng = np.random.default_rng(seed)
    n_items, users = 12, 3
    relevant = rng.random((users, n_items)) < rng.uniform(0.05, 0.9)
    relevant[np.arange(users), rng.integers(0, n_items, users)] = True
    top = np.full((users, k), EMPTY)
    filled = min(k, length)
    top[:, :filled] = rng.permuted(np.tile(np.arange(n_items), (users, 1)), axis=1)[:, :filled]
    lists = ranking(top, [np.flatnonzero(row) for row in relevant], popularity=np.ones(n_items))
    judgements = {
        str(u): {str(i): int(relevant[u, i]) for i in range(n_items)} for u in range(users)
    }
    run = {
        str(u): {str(i): float(-place) for place, i in enumerate(top[u]) if i != EMPTY}
        for u in range(users)
    }
    theirs = pytrec_eval.RelevanceEvaluator(
        judgements, {f"ndcg_cut.{k}", f"recall.{k}", f"P.{k}", f"success.{k}", "recip_rank"}
    ).evaluate(run)
    for ours, name in (
        ("ndcg", f"ndcg_cut_{k}"),
        ("recall", f"recall_{k}"),
        ("precision", f"P_{k}"),
        ("hit_rate", f"success_{k}"),
        ("mrr", "recip_rank"),
    ):
        expected = [theirs[str(u)][name] for u in range(users)]
        np.testing.assert_allclose(measure(ours, lists, k=k).per_user, expected, err_msg=ours)


@settings(deadline=None)
@given(st.integers(0, 10_000))
def test_debiased_metrics_of_equally_popular_items_are_the_plain_ones(seed):
    rng = np.random.default_rng(seed)
    top = np.stack([rng.permutation(9)[:4] for _ in range(3)])
    targets = [rng.permutation(9)[: 1 + u] for u in range(3)]
    lists = ranking(top, targets, popularity=np.full(9, 7))
    for debiased, plain in (("ndcg_debiased", "ndcg"), ("recall_stratified", "recall")):
        np.testing.assert_allclose(
            measure(debiased, lists, k=4).per_user, measure(plain, lists, k=4).per_user
        )


def test_debiased_metrics_value_a_rare_hit_above_a_popular_one():
    popular, rare = ranking([[0, 4]], [[0, 3]]), ranking([[3, 4]], [[0, 3]])
    for name in ("ndcg_debiased", "recall_stratified"):
        assert measure(name, rare, k=2).value > measure(name, popular, k=2).value
        assert measure(name, ranking([[3, 0]], [[0, 3]]), k=2).value == pytest.approx(1)


@pytest.mark.parametrize("name", plugins.names(PACKAGE))
def test_nobody_has_no_value(name):
    nobody = ranking(np.empty((0, 4)), [], attributes=np.ones((6, 2)))
    measured = measure(name, nobody, k=4)
    assert np.isnan(measured.value)
    assert measured.per_user is None or measured.per_user.shape == (0,)


@pytest.mark.parametrize("name", plugins.names(PACKAGE))
def test_lists_longer_than_the_catalogue_are_computed(name):
    top = np.full((2, 12), EMPTY)
    top[:, :6] = [np.arange(6), np.arange(6)[::-1]]
    lists = ranking(top, [[0], [5, 1]], attributes=np.eye(6))
    assert np.isfinite(measure(name, lists, k=12).value)


@pytest.mark.parametrize("name", plugins.names(PACKAGE))
def test_contract(name):
    """Every metric: declared direction, one of two functions, bounded shape, no order of items."""
    metric = plugins.load(PACKAGE, name)
    assert isinstance(metric.greater_is_better, bool)
    assert hasattr(metric, "per_user") != hasattr(metric, "overall")
    assert metric.__doc__ and (getattr(metric, "per_user", None) or metric.overall).__doc__
    rng = np.random.default_rng(0)
    top = np.stack([rng.permutation(6)[:4] for _ in range(5)])
    tokens = rng.random((6, 3)) < 0.6
    lists = ranking(top, [[u] for u in range(5)], attributes=tokens)
    measured = measure(name, lists, k=4)
    assert np.isfinite(measured.value)
    assert measured.per_user is None or measured.per_user.shape == (5,)
    # Renaming the items changes nothing.
    new = rng.permutation(6)
    old = np.argsort(new)
    renamed = ranking(
        new[top],
        [[new[u]] for u in range(5)],
        popularity=np.array([8, 4, 2, 1, 0, 1])[old],
        attributes=tokens[old],
    )
    assert measure(name, renamed, k=4).value == pytest.approx(measured.value)


@settings(deadline=None)
@given(st.integers(0, 1000))
def test_relevance_metrics_grow_when_a_hit_is_added(seed):
    rng = np.random.default_rng(seed)
    top = rng.permutation(6)[None, :4]
    target = int(top[0, rng.integers(4)])
    miss = ranking(np.where(top == target, EMPTY, top), [[target]])
    hit = ranking(top, [[target]])
    for name in (
        "ndcg", "recall", "precision", "f1", "mrr", "map", "hit_rate", "ndcg_debiased",
        "recall_stratified",
    ):  # fmt: skip
        assert measure(name, hit, k=4).value > measure(name, miss, k=4).value == 0


def test_unknown_names_and_depths_are_refused():
    with pytest.raises(ConfigError, match=r"Unknown metrics plugin 'ndgc'. Known: .*ndcg"):
        measure("ndgc", TWO, k=3)
    for depth in ("0", "-1", "x", ""):
        with pytest.raises(ConfigError, match="whole number from 1"):
            measure(f"ndcg@{depth}", TWO, k=3)


def test_a_table_of_recommendations_becomes_a_matrix():
    rows = [("b", "y", 1, 0.9), ("a", "x", 2, 0.5), ("a", "y", 1, 0.7), ("a", "z", 3, 0.1)]
    table = pl.DataFrame(rows, schema=columns.RECOMMENDATIONS, orient="row")
    index = {"x": 0, "y": 1, "z": 2}
    top = metrics.top_matrix(table, user_ids=["a", "b", "c"], item_index=index, k=2)
    np.testing.assert_array_equal(top, [[1, 0], [1, EMPTY], [EMPTY, EMPTY]])
    with pytest.raises(DataError, match="not in the catalogue"):
        metrics.top_matrix(table, user_ids=["a"], item_index={"x": 0}, k=2)
    with pytest.raises(DataError, match="two recommendations of one rank"):
        metrics.top_matrix(pl.concat([table, table]), user_ids=["a"], item_index=index, k=2)
