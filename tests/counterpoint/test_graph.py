from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoint import choices, training
from counterpoint.choices import Found
from counterpoint.recommender import Recommender
from tests.counterpoint import toys

EVENTS = st.lists(st.tuples(st.integers(0, 23), st.booleans()), max_size=8)


def every_scorer(interactions, examples, catalogue, profiles, tokens, config, train) -> Found:
    """A choice that takes two linear parts and the factorisation, which a toy would never need."""
    first = choices.start(config, has_text=False, train_users=300)
    parts = choices.linear_parts(config, has_text=False)
    both = ((parts["slist/recent"], 1.0), (parts["slist/newest"], 0.5))
    return Found(replace(first, linears=both, factors=0.6), None, None, 0, "given")


@pytest.fixture(scope="module", params=["all", "top", "every scorer"])
def recommender(request, tmp_path_factory) -> Recommender:
    tables = toys.world()
    folded, drawn = toys.prepared(tables)
    how = request.param if request.param in ("all", "top") else "top"
    config = toys.small_config(
        fusion={"linear": "slist/recent", "tower": 7.0, "normalisation": how},
        linear={"forms": {"slist": {"share": 0.5, "l2": 5.0}}},
        choices={"budget_seconds": 0.0},
        cold={"boost": 0.3},
    )
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "every scorer":
            patch.setattr(training.selection, "choose", every_scorer)
        return training.fit(
            folded, tables.items, tables.users, drawn, config, workdir=tmp_path_factory.mktemp("w")
        )


def answer(
    recommender: Recommender,
    events: list[list[tuple[int, bool]]],
    *,
    k: int = 5,
    exclude: list[list[int]] | None = None,
    attributes: list[list[str]] | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    inputs = recommender.inputs(toys.histories(*events, attributes=attributes))
    banned = np.array(exclude or [[0]] * len(events), dtype=np.int64)
    tensors = (
        inputs.history,
        inputs.history_age,
        inputs.history_kind,
        inputs.profile,
        banned,
        np.full((len(events), 1), k, dtype=np.int64),
    )
    with torch.inference_mode():
        item, score, reason = recommender.module(*(torch.from_numpy(t) for t in tensors))
    return item.numpy(), score.numpy(), reason.numpy()


def plain_scores(recommender: Recommender, events: list[tuple[int, bool]]) -> np.ndarray:
    """The whole formula for one user, in numpy and with loops."""
    module = recommender.module
    weights, warm = module.weights, module.cold.warm.numpy()
    n_items = len(warm)
    liked = [(place, item) for place, (item, positive) in enumerate(events) if positive]
    ages = {place: sum(p for _, p in events[place + 1 :]) for place, _ in liked}
    newest = {item: ages[place] for place, item in liked}

    linears = []
    for part in module.linear_parts:
        matrix = np.zeros((n_items, n_items))
        items, how = part.items.numpy(), part.weighting
        matrix[np.ix_(items, items)] = part.weights.numpy()[:-1, :-1]
        scores = np.zeros(n_items)
        for item, age in newest.items():
            scores += (how.base + how.recency * np.exp(-age / how.decay)) * matrix[item]
        linears.append(scores)
    evidence = list(zip(weights.linears, linears, strict=True))
    if module.factors is not None:
        table = module.factors.factors.numpy().astype(np.float64)
        own, confidence = table[sorted(newest)], module.factors.confidence
        system = table.T @ table + (confidence - 1) * own.T @ own
        system += module.factors.l2 * np.eye(table.shape[1])
        evidence.append((weights.factors, table @ np.linalg.solve(system, confidence * own.sum(0))))

    user = module.tower.user
    table, attention = user.history.weight.numpy(), user.attention.weight.numpy()[:, 0]
    pools = []
    raw = [[np.exp(4 * np.tanh(attention[item])) for _, item in liked]]
    raw += [[np.exp(-ages[place] / decay) for place, _ in liked] for decay in user.decays]
    for weight in raw:
        total = sum(weight) or 1.0
        pools.append(
            sum(
                (w / total * table[i] for w, (_, i) in zip(weight, liked, strict=True)),
                start=np.zeros(table.shape[1]),
            )
        )
    others = [item for item, positive in events if not positive]
    pools.append(table[others].mean(0) if others else np.zeros(table.shape[1]))
    with torch.inference_mode():
        pooled = torch.from_numpy(np.concatenate(pools)[None].astype(np.float32))
        vector = user.combine(pooled).numpy()[0]
    tower = module.tower.vectors.numpy() @ vector + module.tower.bias.numpy()

    eligible = warm & ~np.isin(np.arange(n_items), [item for item, _ in events])

    def z(scores: np.ndarray) -> np.ndarray:
        sample = scores[eligible]
        if len(sample) == 0 or sample.std() <= 1e-6:
            return np.zeros_like(scores)
        return (scores - sample.mean()) / sample.std()  # fewer than 200 items: "top" is "all"

    prior = z(module.prior.base.numpy())
    if not liked:
        fused = prior
    else:
        fade = weights.prior * 2 / (1 + len(liked))
        evidence.append((weights.tower, tower))
        fused = fade * prior + sum(share * z(scores) for share, scores in evidence)
    features = module.cold.features.numpy()
    told = [(s - s[warm].mean()) / max(s[warm].std(), 1e-6) for s in (fused, linears[0])]
    both = sum(told) / max(np.std(sum(told)[warm]), 1e-6)
    theta = np.where(warm, both, 0) @ module.cold.ridge_map.numpy()
    cold = fused[warm].mean() + fused[warm].std() * (features @ theta + module.cold.boost)
    cold = cold - module.cold.tie.numpy()
    return np.where(warm, fused, cold)


@settings(max_examples=30, deadline=None)
@given(EVENTS)
def test_scores_follow_the_formula(recommender, events) -> None:
    expected = plain_scores(recommender, events)
    found = recommender.score(toys.histories(events))[0]
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(EVENTS, min_size=1, max_size=3),
    st.integers(1, 30),
    st.lists(st.integers(0, 24), min_size=1, max_size=4),
)
def test_lists_are_the_best_unseen_items(recommender, events, k, banned) -> None:
    scores = recommender.score(toys.histories(*events))
    item, score, reason = answer(recommender, events, k=k, exclude=[banned] * len(events))
    assert item.shape == score.shape == reason.shape[:2] == (len(events), min(k, 24))
    for row, user in enumerate(events):
        out = {i for i, _ in user} | {b - 1 for b in banned}
        left = [i for i in np.argsort(-scores[row], kind="stable") if i not in out][:k]
        np.testing.assert_allclose(score[row, : len(left)], scores[row, left], rtol=1e-4, atol=1e-4)
        assert not out & set(item[row][item[row] > 0] - 1)
        assert (item[row, len(left) :] == 0).all() and (score[row, len(left) :] == 0).all()
        assert (reason[row, len(left) :] == 0).all()


@settings(max_examples=30, deadline=None)
@given(EVENTS)
def test_reasons_are_distinct_liked_items_of_the_history(recommender, events) -> None:
    _, _, reason = answer(recommender, [events], k=24)
    for places in reason[0]:
        named = [place for place in places if place]
        assert len({events[place - 1][0] for place in named}) == len(named)
        assert all(events[place - 1][1] for place in named)
        assert places[: len(named)].tolist() == named


def test_the_first_reason_is_of_the_items_own_taste(recommender) -> None:
    index = recommender.item_index
    events = [(index["i1"], True), (index["i0"], True), (index["i3"], True), (index["i2"], True)]
    item, _, reason = answer(recommender, [events], k=12)
    right = [
        places[0] == 0
        or int(recommender.item_ids[events[places[0] - 1][0]][1:]) % 2
        == int(recommender.item_ids[i - 1][1:]) % 2
        for i, places in zip(item[0], reason[0], strict=True)
    ]
    assert np.mean(right) > 0.9 and (reason[0, :, 0] > 0).any()


def test_users_of_a_batch_do_not_touch_each_other(recommender) -> None:
    events = [[(0, True), (5, False)], [(3, True)], [], [(i, True) for i in range(9)]]
    attributes = [[], ["club=space"], ["club=farm"], ["unknown=x"]]
    together = answer(recommender, events, attributes=attributes)
    for row in range(4):
        alone = answer(recommender, [events[row]], attributes=[attributes[row]])
        assert np.array_equal(alone[0][0], together[0][row])
        assert np.array_equal(alone[2][0], together[2][row])


def test_a_repeated_item_counts_once_at_its_newest_place(recommender) -> None:
    twice = recommender.module.parts(
        *(
            torch.from_numpy(t)
            for t in vars(
                recommender.inputs(toys.histories([(4, True), (6, True), (4, True)]))
            ).values()
        )
    )
    assert twice.counted.tolist() == [[False, True, True]]


def test_the_graph_exports_and_answers_alike(recommender, tmp_path: Path) -> None:
    import onnxruntime

    from counterpoint.stages.export import export_recommender

    path = tmp_path / "graph.onnx"
    export_recommender(recommender, path, opset=17)
    session = onnxruntime.InferenceSession(path)
    for events in ([[]], [[(3, True)]], [[(i, i % 3 > 0) for i in range(20)], []]):
        inputs = recommender.inputs(toys.histories(*events))
        feed = vars(inputs) | {
            "exclude": np.array([[9]] * len(events)),
            "k": np.full((len(events), 1), 7),
        }
        item, score, reason = session.run(None, feed)
        own = answer(recommender, events, k=7, exclude=[[9]] * len(events))
        assert np.array_equal(item, own[0]) and np.array_equal(reason, own[2])
        np.testing.assert_allclose(score, own[1], atol=1e-4)


def test_what_is_saved_is_loaded(recommender, tmp_path: Path) -> None:
    recommender.save(tmp_path / "model")
    loaded = Recommender.load(tmp_path / "model")
    users = toys.histories([(3, True), (5, False), (8, True)], [])
    np.testing.assert_array_equal(loaded.score(users), recommender.score(users))
    assert loaded.settings == recommender.settings
