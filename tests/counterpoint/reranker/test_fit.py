"""The train stage with a re-ranker, to the served graph."""

import json
from pathlib import Path

import numpy as np
import onnxruntime as ort
import polars as pl
import pytest

from counterpoint import artifacts, columns
from counterpoint.config import EvaluateConfig
from counterpoint.config.serve import ExportConfig
from counterpoint.errors import DataError
from counterpoint.recommender import Recommender
from counterpoint.reranker import blend, crossfit
from counterpoint.reranker.model import find
from counterpoint.stages import evaluate, export, train
from tests.counterpoint import toys
from tests.counterpoint.reranker import circle

SMALL = {
    "reader": {
        "weights": {"method": "last", "layers": 1},
        "max_tokens": 48,
        "candidate_tokens": 12,
        "batch_size": 8,
        "max_steps": 6,
        "evaluate_steps": 3,
        "transfer_pairs": 60,
    },
    "student": {"dim": 4, "hidden": 8, "events": 6, "epochs": 2, "evaluate_steps": 3},
    "depth": 10,
    "keep": "always",
}


def features_folder(folder: Path, **split: float) -> Path:
    tables = toys.world(users=60)
    interactions, examples = toys.prepared(tables, protocol="per_user", **split)
    folder.mkdir(parents=True)
    interactions = interactions.with_columns(
        pl.when(columns.POSITIVE).then(4.5).otherwise(2.0).alias(columns.VALUE)
    )
    interactions.write_parquet(folder / artifacts.INTERACTIONS)
    tables.items.write_parquet(folder / artifacts.ITEMS)
    tables.users.write_parquet(folder / artifacts.USERS)
    examples.write_parquet(folder / artifacts.EXAMPLES)
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("run")
    backbone = circle.write_backbone(root / "bert")
    features = features_folder(root / "features")
    config = toys.small_config(
        encoder={"model": str(backbone), "cache": str(root / "cache")}, reranker=SMALL
    )
    result = train.run(config, features=features, model=root / "model", workdir=root / "work")
    assert "reranker_weight" in result.figures
    assert "reranker" in result.notes
    return {"features": features, "model": root / "model", "root": root}


def test_the_model_folder_holds_the_re_ranker_and_its_report(folders) -> None:
    recommender = Recommender.load(folders["model"])
    found = find(folders["model"], recommender)
    assert found is not None
    report = recommender.report["reranker"]
    assert report["kept"]
    assert report["imitated_pairs"] == 60
    assert set(report["valid_ndcg"]) == {"0.0", "0.1", "0.2", "0.4", "0.8", "1.6"}
    assert found.settings.ratings
    assert (found.settings.units.low, found.settings.units.high) == (2.0, 4.5)
    assert not list((folders["root"] / "work").glob("reranker-*"))


def test_a_weight_changes_what_is_evaluated_and_0_does_not(folders, tmp_path: Path) -> None:
    recommender = Recommender.load(folders["model"])
    found = find(folders["model"], recommender)
    assert found is not None
    described = folders["model"] / "reranker" / "reranker.json"
    content = json.loads(described.read_text())
    for weight, kind in ((0.0, Recommender), (0.5, blend.Reranked)):
        content["settings"]["weight"] = weight
        described.write_text(json.dumps(content))
        assert isinstance(blend.served(folders["model"], recommender), kind)
    config = EvaluateConfig(baselines={"popularity": {}}, resamples=100, tune_baselines="none")
    result = evaluate.run(
        config,
        features=folders["features"],
        model=folders["model"],
        evaluation=tmp_path / "evaluation",
        champion=folders["model"],
    )
    assert result.figures["test_users"] > 0


def test_a_batch_gets_what_is_evaluated(folders) -> None:
    recommender = Recommender.load(folders["model"])
    described = folders["model"] / "reranker" / "reranker.json"
    content = json.loads(described.read_text())
    content["settings"]["weight"] = 2.0
    described.write_text(json.dumps(content))
    histories = toys.histories([(0, True), (3, False)], [(1, True)])
    plain = recommender.recommend(histories, 24)
    look = blend.second_look(folders["model"], recommender)
    looked = recommender.recommend(histories, 24, second_look=look)
    scores = blend.served(folders["model"], recommender).score(histories)
    index = recommender.item_index
    for row, user in enumerate(histories.user_ids):
        own = looked.filter(pl.col(columns.USER) == user)[columns.ITEM].to_list()
        assert own != plain.filter(pl.col(columns.USER) == user)[columns.ITEM].to_list()
        assert own == sorted(own, key=lambda item: -scores[row, index[item]])


def test_the_export_has_the_graph_and_says_how_it_is_used(folders, tmp_path: Path) -> None:
    result = export.run(
        ExportConfig(parity_users=10),
        model=folders["model"],
        features=folders["features"],
        onnx=tmp_path / "onnx",
    )
    assert result.reranker_difference is not None
    assert result.reranker_difference < 1e-4
    contract = json.loads((tmp_path / "onnx" / artifacts.CONTRACT).read_text())["reranker"]
    assert contract["depth"] == 10
    assert contract["events"] == 6
    session = ort.InferenceSession(str(tmp_path / "onnx" / artifacts.RERANKER_ONNX))
    assert [node.name for node in session.get_inputs()] == [
        "history",
        "history_kind",
        "candidate",
        "score",
    ]


def test_a_user_is_never_scored_by_the_half_that_met_them(folders) -> None:
    class Half:
        n_items = 3

        def __init__(self, number: int) -> None:
            self.number = number

        def score(self, histories):
            for user in histories.user_ids:
                assert crossfit.half_of(user) != self.number
            return np.full((len(histories), 3), self.number, dtype=np.float32)

    histories = toys.histories(*([(0, True)] for _ in range(20)))
    found = crossfit.CrossFit([Half(0), Half(1)]).score(histories)  # type: ignore[list-item]
    expected = [1 - crossfit.half_of(user) for user in histories.user_ids]
    np.testing.assert_array_equal(found[:, 0], expected)
    assert len(set(expected)) == 2


def test_too_little_to_learn_from_is_said(tmp_path: Path) -> None:
    tables = toys.world(users=4, items=10, cold=0)
    interactions, examples = toys.prepared(tables, protocol="per_user")
    features = tmp_path / "features"
    features.mkdir()
    for name, frame in (
        (artifacts.INTERACTIONS, interactions),
        (artifacts.ITEMS, tables.items),
        (artifacts.USERS, tables.users),
        (artifacts.EXAMPLES, examples),
    ):
        frame.write_parquet(features / name)
    config = toys.small_config(reranker=SMALL)
    with pytest.raises(DataError, match=r"train\.reranker = null"):
        train.run(config, features=features, model=tmp_path / "model", workdir=tmp_path / "work")
