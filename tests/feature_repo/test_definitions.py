import sys
from pathlib import Path

import pytest
from feast import FeatureService, FeatureView

from counterpoint import columns, feature_tables
from counterpoint.errors import ConfigError, SetupError
from counterpoint.point_in_time import USER_FEATURES
from feature_repo import opening, services
from feature_repo.definitions import definitions


def of_kind(kind: type) -> dict[str, object]:
    made = definitions(Path("tables"), "duckdb", 5)
    return {one.name: one for one in made if isinstance(one, kind)}


def test_every_table_has_a_view_with_its_columns() -> None:
    views = of_kind(FeatureView)
    assert set(views) == set(feature_tables.SCHEMAS)
    for name, schema in feature_tables.SCHEMAS.items():
        view = views[name]
        assert {field.name for field in view.schema} | {columns.FEATURE_TIMESTAMP} == set(schema)
        assert view.batch_source.timestamp_field == columns.FEATURE_TIMESTAMP
        assert view.ttl.total_seconds() == 0


def test_training_and_serving_have_the_same_features() -> None:
    def features(*names: str) -> set[str]:
        made = of_kind(FeatureService)
        return {
            field.name
            for name in names
            for view in made[name].feature_view_projections
            for field in view.features
        }

    assert features(services.RECOMMENDER) == set(USER_FEATURES)
    trained = features(services.TRAINING, services.TRAINING_HISTORY)
    assert trained - {columns.HISTORY_VERSION} == set(USER_FEATURES)


def test_the_cluster_configuration_opens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_PASSWORD", "p@ss: word")
    repository = opening.create(tmp_path, opening.STORES / "cluster.yaml")
    assert repository.store.config.offline_store.type == "duckdb"
    assert repository.store.config.online_store.connection_string == (
        "redis:6379,password=p@ss: word"
    )


def test_a_missing_secret_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REDIS_PASSWORD", raising=False)
    with pytest.raises(SetupError, match="REDIS_PASSWORD"):
        opening.create(tmp_path, opening.STORES / "cluster.yaml")


def test_secrets_are_not_written_to_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_PASSWORD", "hunter2")
    opening.write_serving_config(tmp_path, tmp_path / "current", opening.STORES / "cluster.yaml")
    text = (tmp_path / opening.STORE_FILE).read_text("utf-8")
    assert "hunter2" not in text
    assert "${REDIS_PASSWORD}" in text
    assert str(tmp_path / "current" / "registry.db") in text


def test_a_store_whose_packages_are_missing_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_PASSWORD", "secret")
    monkeypatch.setenv("SPARK_MASTER", "local[1]")
    # None in sys.modules makes the import fail where pyspark is installed, too.
    monkeypatch.setitem(sys.modules, "pyspark", None)
    with pytest.raises(SetupError, match="pyspark"):
        opening.create(tmp_path, opening.STORES / "spark.yaml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("just text", "must hold a mapping"),
        ("a: [", "cannot be read"),
        ("project: counterpoint\nprovider: local\nonline_store: {type: nothing}", "nothing"),
        ("project: 'a b!'\nprovider: local\nregistry: r.db", "not a Feast configuration"),
    ],
)
def test_a_bad_configuration_is_refused(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "store.yaml"
    file.write_text(text, "utf-8")
    with pytest.raises((ConfigError, SetupError), match=message):
        opening.create(tmp_path, file)


def test_an_unknown_store_file_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"feature_repo/stores/local\.yaml"):
        opening.find_store_config("stores/missing.yaml")


def test_the_store_file_is_found_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert opening.find_store_config("feature_repo/stores/local.yaml").is_file()


def test_the_row_losing_file_store_is_refused() -> None:
    with pytest.raises(ConfigError, match="'dask' is not supported"):
        definitions(Path("tables"), "dask", 5)


def test_an_unpublished_store_is_named(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="Run the stage features first"):
        opening.load(tmp_path / "current")
