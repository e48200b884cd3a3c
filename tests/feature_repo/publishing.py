"""Publishes a feature store as the stage features does, without folds and examples."""

from pathlib import Path

from counterpoint import feature_tables
from counterpoint.tables import Tables
from feature_repo import opening, state
from feature_repo.store import TABLES

LOCAL = opening.STORES / "local.yaml"


def publish(
    root: Path, version: str, source: Tables, *, length: int = 6, config: Path = LOCAL
) -> Path:
    """Write a data version over ordered tables and make it the current one."""
    folder = root / version
    feature_tables.write(folder / TABLES, source, history_length=length)
    repository = opening.create(folder, config)
    repository.apply(length)
    repository.materialise()
    opening.write_serving_config(folder, root / state.CURRENT, config)
    state.publish(folder)
    return folder
