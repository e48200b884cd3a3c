import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoint import choices, fitting, pools, prior, splits, training
from counterpoint.item_catalogue import describe
from counterpoint.model_folder import FactorSettings
from counterpoint.pools import Pools, Validation, ndcg
from tests.counterpoint import toys


def test_ndcg_by_hand() -> None:
    scores = torch.tensor([[4.0, 3.0, 2.0, 1.0]] * 3)
    eligible = torch.tensor([[True] * 4, [False, True, True, True], [False, False, True, True]])
    targets = torch.tensor([[True, False, True, False], [True, False, False, True], [True] * 4])
    found = ndcg(scores, eligible, targets, k=2)
    second = 1 / np.log2(3)
    np.testing.assert_allclose(found, [1 / (1 + second), 0.0, 1.0])


def test_ndcg_of_a_part_of_the_columns_counts_the_targets_left_out() -> None:
    scores, everything = torch.tensor([[3.0, 2.0]]), torch.ones(1, 2, dtype=torch.bool)
    targets = torch.tensor([[True, False]])
    full = ndcg(scores, everything, targets, wanted=torch.tensor([2]))
    np.testing.assert_allclose(full, 1 / (1 + 1 / np.log2(3)))
    assert ndcg(scores, everything, targets & False).tolist() == [0.0]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000))
def test_ndcg_equals_the_metric_of_the_evaluation(seed: int) -> None:
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


@pytest.mark.parametrize("how", ["all", "top"])
@pytest.mark.parametrize("depth", [100, 12])
def test_what_is_judged_is_what_is_served(how, depth: int, monkeypatch) -> None:
    monkeypatch.setattr(pools, "DEPTH", depth)
    tables = toys.world()
    folded, drawn = toys.prepared(tables)
    config = toys.small_config()
    catalogue = describe(folded, tables.items, config)
    profiles = {row["user_id"]: row["attributes"] for row in tables.users.iter_rows(named=True)}
    tokens = prior.vocabulary(profiles.values(), min_users=5, max_tokens=9)
    fold = fitting.prepare(folded, catalogue, profiles, "choose", config)
    chosen = drawn.filter(drawn["fit"] == "choose")
    tower, _ = fitting.fit_towers(
        fold, chosen, catalogue, config, checkpoint=None, tensorboard=None
    )
    parts = choices.linear_parts(config, has_text=False)
    names = list(parts)[:2]
    linears = {name: fitting.fit_linear(fold, parts[name], config) for name in names}
    choice = choices.Choices(
        linears=((parts[names[0]], 1.0), (parts[names[1]], 0.5)),
        factors=0.3,
        tower=1.2,
        tower_variant=choices.CONFIGURED,
        normalisation=how,
        prior=0.5,
        half_life_days=1.0,
        boost=-100.0,
    )
    histories, targets = splits.fold_histories(
        folded, "valid", catalogue.index, attributes=profiles
    )
    n_items = len(catalogue)
    scorers = linears | {
        "factors": fitting.fit_factors(fold, config),
        "tower": tower,
        "prior": fitting.fit_prior(fold, catalogue.features, tokens, 1.0, config),
    }
    found = Pools(Validation(histories, targets, fold.warm, tokens, 512), scorers, [how]).ndcg(
        how, {names[0]: 1.0, names[1]: 0.5, "factors": 0.3, "tower": 1.2}, "prior", 0.5
    )
    recommender = training.Recommender(
        fitting.assemble(fold, catalogue, tower, choice, tokens, config),
        catalogue.items.select(training.KEPT),
        training.Settings(
            dim=8,
            pools=config.tower.pools,
            linears=tuple(parts[name].weighting for name in names),
            factors=FactorSettings(config.factors.confidence, config.factors.l2),
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


def test_a_sample_of_the_users_is_judged_as_they_were_among_all() -> None:
    tables = toys.world()
    folded, _ = toys.prepared(tables)
    catalogue = describe(folded, tables.items, toys.small_config())
    histories, targets = splits.fold_histories(folded, "valid", catalogue.index)
    everyone = Validation(histories, targets, np.ones(len(catalogue), bool), ["none"], 512)
    some = everyone.sample(7, seed=0)
    fold = fitting.prepare(folded, catalogue, {}, "choose", toys.small_config())
    part = next(iter(choices.linear_parts(toys.small_config(), has_text=False).values()))
    scorer = {"linear": fitting.fit_linear(fold, part, toys.small_config())}
    place = {user: row for row, user in enumerate(histories.user_ids)}
    rows = [place[user] for user in some.histories.user_ids]
    whole = pools.alone(everyone, scorer, "all")["linear"]
    assert pools.alone(some, scorer, "some")["linear"].tolist() == whole[rows].tolist()
