"""Data sources: the feature tables as the configured offline store reads them."""

from pathlib import Path
from typing import Final

from feast import FileSource, PushSource
from feast.data_source import DataSource

from counterpoint import columns, feature_tables
from counterpoint.errors import ConfigError

PUSH_SOURCE: Final = "user_events"


def batch_source(table: str, folder: Path, offline_store: str) -> DataSource:
    """Return the source of one feature table.

    Args:
        table: A table of counterpoint/feature_tables.py.
        folder: Folder of the feature tables; for Spark one that driver and executors share.
        offline_store: Type of the offline store.

    Raises:
        ConfigError: The offline store is not supported.
    """
    file = str(feature_tables.path(folder.resolve(), table))
    name = f"{table}_table"
    if offline_store == "duckdb":
        return FileSource(name=name, path=file, timestamp_field=columns.FEATURE_TIMESTAMP)
    if offline_store == "spark":
        # Imported here: only the cluster image has pyspark.
        from feast.infra.offline_stores.contrib.spark_offline_store.spark_source import SparkSource

        return SparkSource(
            name=name, path=file, file_format="parquet", timestamp_field=columns.FEATURE_TIMESTAMP
        )
    raise ConfigError(
        [
            f"Offline store {offline_store!r} is not supported. Known: duckdb, spark (the file "
            "store loses rows that share a user and an instant). Change offline_store.type in the "
            "file that features.store names."
        ]
    )


def push_source(batch: DataSource) -> PushSource:
    """Return the source through which fresh histories reach the online store."""
    return PushSource(name=PUSH_SOURCE, batch_source=batch)
