from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest

from counterpoint import artifacts, columns, examples, tables
from counterpoint.config import FeaturesConfig
from counterpoint.errors import DataError
from counterpoint.point_in_time import PlainFeatures
from counterpoint.stages import features as stage
from counterpoint.tables import Tables
from tests.counterpoint import logs

CONFIG = logs.config()


@pytest.fixture
def validated(tmp_path: Path) -> Path:
    folder = tmp_path / "validated data"
    tables.write(logs.tables(logs.random_rows(1)), folder)
    tables.write_json(folder / artifacts.DATASET, {"name": "tiny", "content_sha256": "abc"})
    return folder


def plain(source: Tables) -> PlainFeatures:
    return PlainFeatures(source, CONFIG.history_length)


def run(validated: Path, features: Path, config: FeaturesConfig = CONFIG) -> stage.FeaturesResult:
    return stage.run(config, validated=validated, features=features, open_source=plain)


def test_the_folder_holds_what_training_needs(validated: Path, tmp_path: Path) -> None:
    out = tmp_path / "features"
    result = run(validated, out)

    log = pl.read_parquet(out / artifacts.INTERACTIONS)
    assert (
        log.sort(columns.ROW)
        .drop(columns.FOLD, columns.TIMESTAMP)
        .equals(tables.read(validated).interactions.sort(columns.ROW).drop(columns.TIMESTAMP))
    )
    steps = log.select(pl.col(columns.TIMESTAMP).diff().over(columns.USER)).to_series()
    assert (steps.drop_nulls().dt.total_microseconds() > 0).all()
    written = pl.read_parquet(out / artifacts.EXAMPLES)
    source = tables.read(validated)
    assert written.equals(examples.plain_examples(log, source.users, CONFIG))
    described = tables.read_json(out / artifacts.FEATURES)
    assert described["dataset"] == {"name": "tiny", "content_sha256": "abc"}
    assert described["examples"] == result.examples
    assert sum(fold["events"] for fold in described["split"]) == len(log) == result.interactions
    assert described["source"] == {"source": "in process"}


def test_every_id_has_a_profile_row(validated: Path, tmp_path: Path) -> None:
    run(validated, tmp_path / "features")
    log = pl.read_parquet(tmp_path / "features" / artifacts.INTERACTIONS)
    items = pl.read_parquet(tmp_path / "features" / artifacts.ITEMS)
    users = pl.read_parquet(tmp_path / "features" / artifacts.USERS)
    known = tables.read(validated)
    for profiles, given, key, schema in (
        (items, known.items, columns.ITEM, columns.ITEMS),
        (users, known.users, columns.USER, columns.USERS),
    ):
        assert profiles.schema == schema
        assert set(profiles[key]) == set(given[key]) | set(log[key])
        assert profiles[key].is_sorted()
        assert profiles.join(given, on=key, how="semi").equals(given.sort(key))
        strangers = profiles.join(given, on=key, how="anti").drop(key)
        assert len(strangers) > 0
        assert all(strangers[name].is_null().all() for name in strangers.columns)


def test_chunks_make_no_difference(
    validated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(validated, tmp_path / "whole")
    monkeypatch.setattr(examples, "CHUNK_PAIRS", 500)
    run(validated, tmp_path / "chunks")
    whole, chunks = (
        pl.read_parquet(tmp_path / name / artifacts.EXAMPLES) for name in ("whole", "chunks")
    )
    assert chunks.equals(whole)


@dataclass(frozen=True)
class DoubledProfiles(PlainFeatures):
    def item_profiles(self, ids: pl.Series) -> pl.DataFrame:
        found = super().item_profiles(ids)
        return pl.concat([found, found.head(1)])


def test_a_failure_leaves_the_older_features_alone(validated: Path, tmp_path: Path) -> None:
    out = tmp_path / "features"
    run(validated, out)
    before = {file.name: file.read_bytes() for file in out.iterdir()}
    with pytest.raises(DataError, match="exactly one each"):
        stage.run(
            CONFIG,
            validated=validated,
            features=out,
            open_source=lambda source: DoubledProfiles(source, CONFIG.history_length),
        )
    assert {file.name: file.read_bytes() for file in out.iterdir()} == before

    # What the failed run left beside it does not disturb the next one.
    other = CONFIG.model_copy(update={"seed": 5})
    run(validated, out, other)
    assert tables.read_json(out / artifacts.FEATURES)["config"]["seed"] == 5
    assert sorted(path.name for path in tmp_path.iterdir()) == ["features", "validated data"]


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    (tmp_path / "validated").mkdir()
    with pytest.raises(DataError, match=r"lacks interactions\.parquet"):
        run(tmp_path / "validated", tmp_path / "features")
