"""A catalogue with an index answers as one whose every item is scored."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoint import training
from counterpoint.config import ExportConfig
from counterpoint.large_export import export_large
from counterpoint.onnx_graphs import export_recommender
from counterpoint.onnx_parity import session
from counterpoint.recommender import Recommender
from counterpoint.retrieval import FOLDER, REPEATABLE, Retrieval
from tests.counterpoint import toys
from tests.counterpoint.test_graph import every_scorer

ITEMS = 24
EVENTS = st.lists(st.tuples(st.integers(0, ITEMS - 1), st.booleans()), max_size=8)
CONFIG = ExportConfig(popular_items=3, candidates=4, cold_candidates=2, max_k=10)


@pytest.fixture(scope="module", params=["all", "top", "every scorer"])
def recommender(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Recommender:
    """A model whose linear parts leave most items to the tower."""
    tables = toys.world()
    folded, drawn = toys.prepared(tables)
    how = request.param if request.param in ("all", "top") else "top"
    config = toys.small_config(
        fusion={"linear": "slist/recent", "tower": 7.0, "normalisation": how},
        linear={"forms": {"slist": {"share": 0.5, "l2": 5.0}}, "max_items": 5},
        choices={"budget_seconds": 0.0},
        cold={"boost": 0.3},
    )
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "every scorer":
            patch.setattr(training.selection, "choose", every_scorer)
        return training.fit(
            folded, tables.items, tables.users, drawn, config, workdir=tmp_path_factory.mktemp("w")
        )


@pytest.fixture(scope="module", params=["exact cold", "cold index"])
def both(
    request: pytest.FixtureRequest,
    recommender: Recommender,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[object, Retrieval, Recommender]:
    """The dense graph and the one with an index."""
    folder = tmp_path_factory.mktemp("onnx")
    export_recommender(recommender, folder / "dense.onnx", opset=17)
    cold = 100 if request.param == "exact cold" else 3
    config = CONFIG.model_copy(update={"max_exact_cold_items": cold})
    graph = folder / "recommender.onnx"
    facts = export_large(recommender, graph, some_users(), config)
    assert facts["exact_cold"] == (cold == 100)
    return session(folder / "dense.onnx"), Retrieval(graph, folder / FOLDER), recommender


def some_users():
    return toys.histories([(0, True), (2, True)], [(1, True)], [])


def feed(
    recommender: Recommender,
    events: Sequence[Sequence[tuple[int, bool]]],
    k: int,
    exclude: Sequence[Sequence[int]],
    allow: Sequence[Sequence[int]],
) -> dict[str, np.ndarray]:
    def padded(rows: Sequence[Sequence[int]]) -> np.ndarray:
        out = np.zeros((len(events), 1 + max(map(len, rows))), np.int64)
        for row, items in enumerate(rows):
            out[row, : len(items)] = items
        return out

    attributes = [["club=farm"] if row % 2 else [] for row in range(len(events))]
    inputs = recommender.inputs(toys.histories(*map(list, events), attributes=attributes))
    return {
        **vars(inputs),
        "exclude": padded(exclude),
        "allow": padded(allow),
        "k": np.full((len(events), 1), k, np.int64),
    }


def dense(graph: object, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    names = [node.name for node in graph.get_outputs()]
    return dict(zip(names, graph.run(names, inputs), strict=True))


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(
            EVENTS,
            st.lists(st.integers(1, ITEMS), max_size=6),
            st.one_of(st.just([]), st.lists(st.integers(1, ITEMS), max_size=8)),
            st.booleans(),
        ),
        min_size=1,
        max_size=3,
    ),
    st.integers(1, 10),
)
def test_lists_scores_reasons_and_tastes_are_those_of_scoring_every_item(both, rows, k) -> None:
    graph, found, recommender = both
    inputs = feed(recommender, [r[0] for r in rows], k, [r[1] for r in rows], [r[2] for r in rows])
    for row, (*_, again) in enumerate(rows):
        kind = inputs["history_kind"]
        kind[row] += np.where(again & (kind[row] > 0), REPEATABLE, 0)
    wanted, got = dense(graph, inputs), found.run(inputs)
    np.testing.assert_allclose(got["taste"][:, :-1], wanted["taste"][:, :-1], atol=2e-4)
    for row, (events, exclude, allow, again) in enumerate(rows):
        items = [i for i in got["item"][row].tolist() if i]
        assert len(items) == len(set(items))
        assert not set(items) & (set() if again else {i + 1 for i, _ in events})
        assert not set(items) & set(exclude)
        if allow:
            assert set(items) <= set(allow)
        theirs = [i for i in wanted["item"][row].tolist() if i]
        assert len(items) == len(theirs)
        np.testing.assert_allclose(got["score"][row], wanted["score"][row], atol=2e-4)
        for place, item in enumerate(items):
            if theirs[place] == item:
                assert got["reason"][row, place].tolist() == wanted["reason"][row, place].tolist()
