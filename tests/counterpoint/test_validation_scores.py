from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoint import choices, fitting, prior, splits, training
from counterpoint.item_catalogue import describe
from counterpoint.validation_scores import Choices, Judge, ndcg
from tests.counterpoint import toys


def test_ndcg_by_hand() -> None:
    scores = torch.tensor([[4.0, 3.0, 2.0, 1.0]] * 3)
    eligible = torch.tensor([[True] * 4, [False, True, True, True], [False, False, True, True]])
    targets = torch.tensor([[True, False, True, False], [True, False, False, True], [True] * 4])
    found = ndcg(scores, eligible, targets, k=2)
    second = 1 / np.log2(3)
    np.testing.assert_allclose(found, [1 / (1 + second), 0.0, 1.0])


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000))
def test_ndcg_equals_the_metric_of_the_evaluation(seed: int) -> None:
    import scipy.sparse as sp

    from counterpoint.metrics import Ranking, measure
    from counterpoint.topk import top_k

    rng = np.random.default_rng(seed)
    scores = rng.standard_normal((4, 15)).astype(np.float32)
    targets = rng.random((4, 15)) < 0.3
    targets[:, 0] = True
    unseen = rng.random((4, 15)) < 0.8
    top = top_k(np.where(unseen, scores, -np.inf).astype(np.float32), k=10, priority=np.arange(15))
    ranking = Ranking(top, sp.csr_matrix(targets), np.ones(15, np.int64), 4, sp.csr_matrix((15, 0)))
    expected = measure("ndcg", ranking, k=10).per_user
    found = ndcg(torch.from_numpy(scores), torch.from_numpy(unseen), torch.from_numpy(targets))
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_what_is_judged_is_what_is_served(tmp_path: Path) -> None:
    tables = toys.world()
    folded, drawn = toys.prepared(tables)
    config = toys.small_config(cold={"boost": -100.0})
    catalogue = describe(folded, tables.items, config)
    profiles = {row["user_id"]: row["attributes"] for row in tables.users.iter_rows(named=True)}
    tokens = prior.vocabulary(profiles.values(), min_users=5, max_tokens=9)
    fold = fitting.prepare(folded, catalogue, profiles, "choose", config)
    tower, _ = fitting.fit_towers(
        fold,
        drawn.filter(pl.col("fit") == "choose"),
        catalogue,
        config,
        checkpoint=None,
        tensorboard=None,
    )
    choice = Choices(0.0, 2.0, "top", 1.0, 0.5, 1.0)
    histories, targets = splits.fold_histories(
        folded, "valid", catalogue.index, attributes=profiles
    )
    n_items = len(catalogue)
    judge = Judge(
        histories,
        targets,
        fold.warm,
        tower,
        {0.0: fitting.fit_linear(fold, n_items, 0.0, 0.0, config)},
        {1.0: fitting.fit_prior(fold, n_items, tokens, 1.0, config)},
        tokens,
        config,
    )
    found = judge.fused([choice], "Judge")[choice]
    module = fitting.assemble(fold, catalogue, tower, choice, tokens, config)
    recommender = training.Recommender(
        module,
        catalogue.items.select(training.KEPT),
        training.Settings(
            dim=8,
            pools=config.tower.pools,
            recency=2.0,
            decay=config.linear.decay,
            boost=-100.0,
            fusion=choice.fusion(),
            profile=tuple(tokens),
            item_vocabulary=(),
            attribute_weight=0.5,
            history_length=512,
        ),
    )
    unseen = histories.matrix(n_items, positive_only=False).toarray() == 0
    served = ndcg(
        torch.from_numpy(recommender.score(histories)),
        torch.from_numpy(unseen),
        torch.from_numpy(targets.toarray()),
    )
    np.testing.assert_allclose(found, served, atol=1e-9)


@pytest.mark.parametrize(
    ("gain", "taken"), [(0.3, "better"), (0.0, "start"), (0.01, "start"), (-0.3, "start")]
)
def test_only_a_clear_gain_moves_away_from_the_start(gain: float, taken: str) -> None:
    rng = np.random.default_rng(0)
    base = rng.random(50)
    scores = {"start": base, "better": base + gain + 0.3 * rng.standard_normal(50)}
    scores["better"] += gain - (scores["better"] - base).mean()
    assert choices._pick(scores, lambda name: float(name != "start")) == taken
