from pathlib import Path

import polars as pl
import pytest

from counterpoint import columns, splits, tables
from counterpoint.config import SplitConfig
from counterpoint.errors import DataError
from counterpoint.histories import order_events
from counterpoint.trial_data import TrialData, development, of_features
from tests.counterpoint.worlds import world

BY_TIME = ("global_temporal", "per_user", "leave_last_out")


def _rows(frame: pl.DataFrame, *folds: str) -> set[int]:
    return set(frame.filter(pl.col(columns.FOLD).is_in(folds))[columns.ROW])


def _folded(split: SplitConfig) -> pl.DataFrame:
    return splits.assign(order_events(world().interactions, seed=split.seed), split)


@pytest.mark.parametrize("protocol", BY_TIME)
def test_development_judges_the_validation_fold_and_never_sees_the_test_fold(protocol: str) -> None:
    split = SplitConfig.model_validate({"protocol": protocol})
    before = _folded(split)
    after = development(before, split)
    assert _rows(after, "test_history") == _rows(before, "valid_history")
    assert _rows(after, "test_target") == _rows(before, "valid_target")
    assert _rows(after, *splits.FITS["final"]) == _rows(before, splits.TRAIN)
    assert _rows(after, "valid_target")
    assert not set(after[columns.ROW]) & _rows(before, "test_history", "test_target")
    assert after.equals(after.sort(columns.USER, columns.TIMESTAMP))


@pytest.mark.parametrize("protocol", ["cold_items", "warm_and_cold"])
def test_development_withholds_other_items(protocol: str) -> None:
    split = SplitConfig.model_validate({"protocol": protocol})
    before = _folded(split)
    after = development(before, split)
    held = [set(f.filter(columns.HELD_OUT)[columns.ITEM]) for f in (before, after)]
    assert held[0] and held[1] and not held[0] & held[1]
    assert not set(after[columns.ROW]) & _rows(before, "test_target", "unused")


def test_folds_of_the_folder_count(tmp_path: Path) -> None:
    source, split = world(), SplitConfig(protocol="per_user")
    tables.write(source, tmp_path)
    judged = TrialData(tmp_path, split).read().interactions
    assert judged.equals(_folded(split))
    judged.write_parquet(tmp_path / "interactions.parquet")
    other = SplitConfig(protocol="leave_last_out")
    assert TrialData(tmp_path, other).read().interactions.equals(judged)


def test_of_features_needs_a_finished_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="features"):
        of_features(tmp_path, fold="test")
    split = SplitConfig(protocol="per_user", seed=3)
    described = {"config": {"split": split.model_dump(mode="json")}}
    tables.write_json(tmp_path / "features.json", described)
    assert of_features(tmp_path, fold="valid") == TrialData(tmp_path, split, "valid")
