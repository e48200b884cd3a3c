from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from counterpoint import feature_tables
from counterpoint.tables import Tables
from feature_repo import opening
from feature_repo.store import TABLES, FeatureRepository, release_duckdb
from tests.counterpoint import logs

LENGTH = 6


@pytest.fixture(scope="session", autouse=True)
def quiet_exit() -> Iterator[None]:
    """Let go of DuckDB before Python exits."""
    yield
    release_duckdb()


@pytest.fixture(scope="session")
def build() -> Callable[[Path, Tables], FeatureRepository]:
    """Makes a local feature store over ordered tables."""

    def make(folder: Path, source: Tables) -> FeatureRepository:
        feature_tables.write(folder / TABLES, source, history_length=LENGTH)
        repository = opening.create(folder, opening.STORES / "local.yaml")
        repository.apply(LENGTH)
        return repository

    return make


@pytest.fixture(scope="session")
def source() -> Tables:
    """Ordered tables of a random log."""
    return logs.ordered(logs.tables(logs.random_rows(3)), logs.config())


@pytest.fixture(scope="session")
def repository(
    build: Callable[[Path, Tables], FeatureRepository],
    source: Tables,
    tmp_path_factory: pytest.TempPathFactory,
) -> FeatureRepository:
    """A materialised feature store in a folder with a space in its name; nobody pushes to it."""
    made = build(tmp_path_factory.mktemp("feature store") / "a b", source)
    made.materialise()
    return made
