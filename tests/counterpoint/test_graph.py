from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoint import choices, columns, training
from counterpoint.choices import Found
from counterpoint.cold import TIE
from counterpoint.onnx_graphs import export_recommender
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
    allow: list[list[int]] | None = None,
    attributes: list[list[str]] | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    feed = inputs_of(recommender, events, k=k, exclude=exclude, allow=allow, attributes=attributes)
    with torch.inference_mode():
        item, score, reason, _ = recommender.module(*map(torch.from_numpy, feed.values()))
    return item.numpy(), score.numpy(), reason.numpy()


def inputs_of(
    recommender: Recommender,
    events: list[list[tuple[int, bool]]],
    *,
    k: int,
    exclude: list[list[int]] | None = None,
    allow: list[list[int]] | None = None,
    attributes: list[list[str]] | None = None,
) -> dict[str, np.ndarray]:
    none = [[0]] * len(events)
    return {
        **vars(recommender.inputs(toys.histories(*events, attributes=attributes))),
        "exclude": np.array(exclude or none, dtype=np.int64),
        "allow": np.array(allow or none, dtype=np.int64),
        "k": np.full((len(events), 1), k, dtype=np.int64),
    }


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
    cold = cold - toys.ties(module)
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


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(EVENTS, st.lists(st.integers(0, 24), min_size=4, max_size=4)),
        min_size=1,
        max_size=3,
    ),
    st.lists(st.integers(0, 24), min_size=1, max_size=3),
    st.integers(1, 24),
)
def test_only_allowed_items_that_are_not_excluded_are_listed(recommender, users, banned, k) -> None:
    """As if everything else were excluded; a row of padding alone restricts nothing."""
    events, allow = [user for user, _ in users], [list(allowed) for _, allowed in users]
    size = len(users)
    others = [
        [0 if item in allowed or not any(allowed) else item for item in range(1, 25)]
        for allowed in allow
    ]
    found = answer(recommender, events, k=k, exclude=[banned] * size, allow=allow)
    masked = answer(recommender, events, k=k, exclude=[banned + other for other in others])
    for ours, theirs in zip(found, masked, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    for row, allowed in enumerate(allow):
        if any(allowed):
            listed = found[0][row][found[0][row] > 0]
            seen = {item + 1 for item, _ in events[row]}
            assert set(listed) <= set(allowed) - set(banned) - seen
            assert len(listed) == min(k, len(set(allowed) - set(banned) - seen - {0}))


def test_a_row_that_allows_only_what_is_excluded_is_empty(recommender) -> None:
    item, score, reason = answer(
        recommender, [[(3, True)], [(3, True)]], exclude=[[9], [9]], allow=[[9, 4], [9, 5]]
    )
    assert not item[0].any() and not score[0].any() and not reason[0].any()
    assert item[1].tolist() == [5, 0, 0, 0, 0]


NEW_ITEMS = pl.DataFrame(
    {
        columns.ITEM: ["new space", "new farm", "new both", "unheard of", "nothing"],
        columns.ATTRIBUTES: [
            ["genre=space"],
            ["genre=farm"],
            ["genre=space", "genre=farm"],
            ["genre=other"],
            None,
        ],
    }
)


def check_taste(recommender: Recommender, events: list[tuple[int, bool]]) -> None:
    """The taste is an affine function of the features that gives the scores of added items."""
    larger = recommender.extend(NEW_ITEMS)
    added = slice(recommender.n_items, larger.n_items)
    expected = larger.score(toys.histories(events))[0, added]
    feed = inputs_of(recommender, [events], k=3)
    with torch.inference_mode():
        taste = recommender.module(*map(torch.from_numpy, feed.values()))[3].numpy()[0]
    features = larger.module.cold.features.numpy()[added]
    width = features.shape[1]
    assert taste.shape == (width + 2,)
    found = np.where(features.any(1), features @ taste[:width] + taste[width], taste[width + 1])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 + TIE)
    assert found[-1] == found[-2] < recommender.score(toys.histories(events)).max()
    assert expected[3] < expected[:3].min() or not features[:3].any()
    # The ties of cold items are all that is between the two, to the rounding.
    told = found - toys.ties(larger.module)[added]
    np.testing.assert_allclose(told, expected, rtol=1e-4, atol=1e-4)


@settings(max_examples=30, deadline=None)
@given(EVENTS)
def test_the_taste_scores_items_added_later(recommender, events) -> None:
    check_taste(recommender, events)


@pytest.mark.parametrize("described", [True, False])
def test_the_taste_scores_items_added_to_a_catalogue_without_cold_items(
    described: bool, tmp_path: Path
) -> None:
    tables = toys.world(cold=0)
    items = tables.items
    if not described:
        items = items.with_columns(pl.lit(None).alias(columns.ATTRIBUTES))
    folded, drawn = toys.prepared(tables)
    config = toys.small_config(choices={"budget_seconds": 0.0}, cold={"boost": 0.3})
    warm = training.fit(folded, items, tables.users, drawn, config, workdir=tmp_path)
    assert warm.module.cold.all_warm and bool(warm.module.cold.width) == described
    for events in ([], [(3, True)], [(i, i % 3 > 0) for i in range(9)]):
        check_taste(warm, events)
    check_export(warm, tmp_path / "graph.onnx")


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
    check_export(recommender, tmp_path / "graph.onnx")


def check_export(recommender: Recommender, path: Path) -> None:
    export_recommender(recommender, path, opset=17)
    session = onnxruntime.InferenceSession(path)
    for events in ([[]], [[(3, True)]], [[(i, i % 3 > 0) for i in range(20)], []]):
        size = len(events)
        for allow in ([[0]], [[0, 0]], [[2, 24, 9]], [[9]]):
            for k in (1, 7, 60):
                feed = inputs_of(recommender, events, k=k, exclude=[[9]] * size, allow=allow * size)
                item, score, reason, taste = session.run(None, feed)
                with torch.inference_mode():
                    own = recommender.module(*map(torch.from_numpy, feed.values()))
                assert np.array_equal(item, own[0]) and np.array_equal(reason, own[2])
                np.testing.assert_allclose(score, own[1], atol=1e-4)
                np.testing.assert_allclose(taste, own[3], atol=1e-4)


def test_what_is_saved_is_loaded(recommender, tmp_path: Path) -> None:
    recommender.save(tmp_path / "model")
    loaded = Recommender.load(tmp_path / "model")
    users = toys.histories([(3, True), (5, False), (8, True)], [])
    np.testing.assert_array_equal(loaded.score(users), recommender.score(users))
    assert loaded.settings == recommender.settings


@settings(max_examples=20, deadline=None)
@given(EVENTS.filter(bool))
def test_repeatable_events_only_unbar_their_items(recommender, events) -> None:
    """Kinds 3 and 4 leave every score as it is; the history competes with the other items."""
    n_items = recommender.n_items
    feed = inputs_of(recommender, [events], k=n_items)
    again = feed | {"history_kind": feed["history_kind"] + 2 * (feed["history_kind"] > 0)}
    with torch.inference_mode():
        once, back = (
            recommender.module(*map(torch.from_numpy, given.values())) for given in (feed, again)
        )
    scores = recommender.score(toys.histories(events))[0]
    assert sorted(back[0][0].tolist()) == list(range(1, n_items + 1))
    np.testing.assert_allclose(back[1][0], scores[back[0][0] - 1], atol=1e-5)
    left = once[0][0] > 0
    seen = torch.isin(back[0][0], torch.tensor([item + 1 for item, _ in events]))
    assert int((~seen).sum()) == int(left.sum())
    np.testing.assert_allclose(back[1][0][~seen], once[1][0][left], atol=1e-5)
    torch.testing.assert_close(back[3], once[3])
