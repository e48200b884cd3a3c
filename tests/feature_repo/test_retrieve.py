from pathlib import Path

import polars as pl
import pytest
from filelock import FileLock

from counterpoint import artifacts, columns, examples, tables
from counterpoint.config import FeaturesConfig
from counterpoint.errors import DataError
from feature_repo import opening, state
from feature_repo.retrieve import run_features
from feature_repo.store import FeatureRepository
from tests.counterpoint import logs


@pytest.fixture
def validated(tmp_path: Path) -> Path:
    return write(tmp_path / "validated", seed=1)


def write(folder: Path, seed: int) -> Path:
    tables.write(logs.tables(logs.random_rows(seed, seconds=100_000)), folder)
    return folder


def settings(tmp_path: Path, **changes: object) -> FeaturesConfig:
    return logs.config(state=str(tmp_path / "feast state"), **changes)


def versions(tmp_path: Path) -> set[str]:
    return {p.name for p in (tmp_path / "feast state").iterdir()} - {state.CURRENT, state.LOCKS}


def test_a_run_serves_what_it_trains_on_and_a_second_one_changes_nothing(
    validated: Path, tmp_path: Path
) -> None:
    config = settings(tmp_path)
    first = run_features(config, validated=validated, features=tmp_path / "one")
    log = pl.read_parquet(tmp_path / "one" / artifacts.INTERACTIONS)
    users = tables.read(validated).users
    trained = pl.read_parquet(tmp_path / "one" / artifacts.EXAMPLES)
    assert trained.equals(examples.plain_examples(log, users, config))
    assert first.source["source"] == "feast"

    current = opening.load(tmp_path / "feast state" / state.CURRENT)
    online = current.online(logs.STRANGE_USERS)
    second = run_features(config, validated=validated, features=tmp_path / "two")
    assert second == first
    for file in (tmp_path / "one").iterdir():
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes(), file.name
    assert current.online(logs.STRANGE_USERS).equals(online)
    assert versions(tmp_path) == {first.source["data_version"]}


def test_a_killed_run_is_repaired_by_the_next(
    validated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = settings(tmp_path)
    root = tmp_path / "feast state"
    before = run_features(config, validated=validated, features=tmp_path / "features")
    other = write(tmp_path / "other", seed=2)

    def killed(_: FeatureRepository) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(FeatureRepository, "materialise", killed)
        with pytest.raises(KeyboardInterrupt):
            run_features(config, validated=other, features=tmp_path / "features")
    half = root / state.version(config, other, opening.find_store_config(config.store))
    assert not state.is_ready(half)
    assert state.current(root) == root / before.source["data_version"]
    (half / "tables" / "event_history.parquet").write_bytes(b"half a file")

    after = run_features(config, validated=other, features=tmp_path / "features")
    assert state.current(root) == half == root / after.source["data_version"]
    assert after.source != before.source


def test_old_data_versions_are_deleted_but_not_used_ones(tmp_path: Path) -> None:
    root = tmp_path / "feast state"
    names = [f"v{n}" for n in range(5)]
    for name in names:
        with state.locked(root, name) as folder:
            state.clear(folder)
            state.publish(folder)
    state.clear(root / "killed")
    with FileLock(root / state.LOCKS / "v0"):
        state.prune(root, 2)
    assert versions(tmp_path) == {"v0", "v3", "v4"}
    state.prune(root, 1)
    assert versions(tmp_path) == {"v4"}
    assert state.current(root) == root / "v4"


def test_the_data_version_follows_data_and_configuration(validated: Path, tmp_path: Path) -> None:
    store = opening.find_store_config("feature_repo/stores/local.yaml")
    other_store = opening.find_store_config("feature_repo/stores/cluster.yaml")
    config = settings(tmp_path)
    other = write(tmp_path / "other", seed=2)
    named = [
        state.version(config, validated, store),
        state.version(config, other, store),
        state.version(config, validated, other_store),
        state.version(settings(tmp_path, history_length=9), validated, store),
    ]
    assert len(set(named)) == 4
    assert state.version(settings(tmp_path, seed=9), validated, store) == named[0]


def test_withheld_items_are_in_no_feature_and_have_a_data_version_of_their_own(
    validated: Path, tmp_path: Path
) -> None:
    whole = settings(tmp_path)
    split = whole.split.model_copy(update={"protocol": "warm_and_cold", "cold_share": 0.4})
    cold = whole.model_copy(update={"split": split})
    for number, config in enumerate((whole, cold)):
        run_features(config, validated=validated, features=tmp_path / f"features{number}")
    assert len(versions(tmp_path)) == 2
    marked = pl.read_parquet(tmp_path / "features1" / artifacts.INTERACTIONS)
    held = marked.filter(columns.HELD_OUT)[columns.ITEM].unique().to_list()
    assert held
    examples = [pl.read_parquet(tmp_path / f"features{n}" / artifacts.EXAMPLES) for n in (0, 1)]
    seen = [table[columns.HISTORY].explode().is_in(held).any() for table in examples]
    assert seen == [True, False]


def test_a_fault_of_the_feature_store_stops_the_stage(
    validated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = FeatureRepository.historical
    monkeypatch.setattr(
        FeatureRepository, "historical", lambda self, requests: whole(self, requests).slice(1)
    )
    with pytest.raises(DataError, match="one row per request"):
        run_features(settings(tmp_path), validated=validated, features=tmp_path / "features")
    assert not (tmp_path / "features").exists()
    assert state.current(tmp_path / "feast state") is None
