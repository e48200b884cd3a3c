import json
from pathlib import Path

import pytest

from counterpoint import artifacts, tables
from counterpoint.config import FeaturesConfig
from counterpoint.errors import DataError
from counterpoint.point_in_time import PlainFeatures
from counterpoint.recommender import Recommender
from counterpoint.stages import features, train
from tests.counterpoint import toys


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("features")
    tables.write(toys.world(), folder / "validated")
    tables.write_json(
        folder / "validated" / artifacts.DATASET,
        {"name": "toy", "attributes": {"user": {"club": {}}, "item": {}}},
    )
    features.run(
        FeaturesConfig.model_validate(
            {"split": {"protocol": "leave_last_out"}, "examples_per_user": 4}
        ),
        validated=folder / "validated",
        features=folder / "features",
        open_source=lambda read: PlainFeatures(read, 64),
    )
    return folder / "features"


def test_the_stage_writes_a_whole_model_folder(drawn: Path, tmp_path: Path) -> None:
    model = tmp_path / "a model"
    result = train.run(toys.small_config(), features=drawn, model=model, workdir=tmp_path / "work")
    recommender = Recommender.load(model)
    assert recommender.n_items == result.figures["items"] == 24
    assert recommender.settings.attributes == {"user": {"club": {}}, "item": {}}
    curves = json.loads((model / artifacts.CURVES).read_text())
    assert len(curves["final"]["total"]) == result.figures["steps"] == 12
    assert list((model / artifacts.TENSORBOARD / "final").iterdir())
    assert 0 <= result.figures["valid_ndcg"] <= 1
    assert all(isinstance(value, int | float) for value in result.figures.values())
    assert "chosen on the validation fold" in result.notes
    assert list(tmp_path.iterdir()) == [model] or not any((tmp_path / "work").iterdir())


def test_an_unfinished_run_leaves_the_old_model(drawn: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    train.run(toys.small_config(), features=drawn, model=model, workdir=tmp_path / "work")
    before = (model / artifacts.MODEL).read_text()
    bad = toys.small_config(fit={"learning_rate": 1e30, "min_steps": 30})
    with pytest.raises(DataError, match="not finite"):
        train.run(bad, features=drawn, model=model, workdir=tmp_path / "work")
    assert (model / artifacts.MODEL).read_text() == before


def test_a_folder_of_another_stage_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"lacks interactions\.parquet.*Run the features stage"):
        train.run(toys.small_config(), features=tmp_path, model=tmp_path / "m")
