from pathlib import Path

import numpy as np
import pytest

from counterpoint import examples, tables, training
from counterpoint.cold import item_features
from counterpoint.config import EvaluateConfig, FeaturesConfig, SplitConfig, TrainConfig
from counterpoint.config.train import ColdConfig
from counterpoint.errors import DataError
from counterpoint.monitoring import reference as stored
from counterpoint.monitoring.champion import text_vectors, write_reference
from counterpoint.monitoring.quality import probe_agreement
from counterpoint.recommender import Recommender
from counterpoint.stages import evaluate
from tests.counterpoint.worlds import folded, world

SPLIT = SplitConfig(protocol="per_user", valid_fraction=0.2, test_fraction=0.2)
TRAIN = TrainConfig.model_validate(
    {
        "encoder": {"model": None},
        "tower": {"dim": 8},
        "fit": {"epochs": 1, "min_steps": 4, "max_steps": 4, "batch_size": 32},
    }
)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("a champion")
    known = folded(world(), SPLIT)
    (root / "features").mkdir()
    for name in ("interactions", "items", "users"):
        getattr(known, name).write_parquet(root / "features" / f"{name}.parquet")
    tables.write_json(root / "features" / "dataset.json", {"name": "tastes"})
    drawn = examples.plain_examples(
        known.interactions, known.users, FeaturesConfig(split=SPLIT, examples_per_user=2)
    )
    model = training.fit(
        known.interactions, known.items, known.users, drawn, TRAIN, workdir=root / "work"
    )
    model.save(root / "model")
    evaluate.run(
        EvaluateConfig(k=5, baselines={"popularity": {}}, resamples=200),
        features=root / "features",
        model=root / "model",
        evaluation=root / "evaluation",
    )
    return root


def test_the_reference_holds_what_the_evaluation_found(
    folders: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_reference(
        folders / "features", folders / "model", folders / "evaluation", tmp_path / "reference"
    )
    summary = stored.load(tmp_path / "reference").summary
    content = tables.read_json(folders / "evaluation" / "evaluation.json")
    assert (summary["dataset"], summary["k"]) == ("tastes", 5)
    assert summary["evaluation"]["value"] == content["methods"]["model"]["ndcg"]
    assert summary["quality"]["mean"] == pytest.approx(summary["evaluation"]["value"], abs=0.01)
    assert summary["quality"]["users"] == content["users"]
    assert "were both made from the same" not in caplog.text


def test_an_evaluation_of_something_else_is_noticed(
    folders: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content = tables.read_json(folders / "evaluation" / "evaluation.json")
    content["methods"]["model"]["ndcg"] += 0.1
    tables.write_json(tmp_path / "evaluation.json", content)
    write_reference(folders / "features", folders / "model", tmp_path, tmp_path / "reference")
    assert "were both made from the same" in caplog.text


def test_the_saved_model_gives_the_stored_lists(folders: Path, tmp_path: Path) -> None:
    taken = write_reference(folders / "features", folders / "model", None, tmp_path / "reference")
    assert taken.probes is not None
    assert probe_agreement(Recommender.load(folders / "model"), taken.probes, k=10) == 1


def test_text_vectors_are_the_first_columns_of_the_cold_features(folders: Path) -> None:
    model = Recommender.load(folders / "model")
    assert text_vectors(model) is None
    text = np.eye(3, 5, dtype=np.float32)
    features = item_features(text, [["genre=1"], [], []], ["genre=1", "genre=2"], ColdConfig())
    assert features.shape == (3, 7)
    assert np.allclose(np.argmax(np.abs(features[:, :5]), axis=1), [0, 1, 2])


def test_a_missing_model_is_named(folders: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no usable model"):
        write_reference(folders / "features", tmp_path, None, tmp_path / "reference")
    assert not (tmp_path / "reference").exists()
