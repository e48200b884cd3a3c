"""The feature store of a data version: apply, retrieve point in time, materialise, read online."""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
from feast import FeatureStore
from feast.data_source import PushMode
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value

from counterpoint import columns, feature_tables
from counterpoint.errors import DataError
from counterpoint.point_in_time import LISTS, REQUESTS, USER_FEATURES
from feature_repo import services
from feature_repo.definitions import definitions
from feature_repo.sources import PUSH_SOURCE
from feature_repo.user_history import HISTORY_LENGTH_TAG

logger = logging.getLogger(__name__)

TABLES = "tables"


@dataclass(frozen=True)
class FeatureRepository:
    """Feast over the feature tables of one data version.

    Attributes:
        folder: Holds the tables and, with local stores, registry and online store.
        store: The Feast store.
    """

    folder: Path
    store: FeatureStore

    @property
    def history_length(self) -> int:
        """Longest history it returns."""
        with _quiet():
            view = self.store.get_feature_view(feature_tables.USER_HISTORY)
        return int(view.tags[HISTORY_LENGTH_TAG])

    def apply(self, history_length: int) -> None:
        """Register all definitions and make the online tables."""
        with _quiet():
            self.store.apply(
                definitions(
                    self.folder / TABLES, self.store.config.offline_store.type, history_length
                )
            )

    def historical(self, requests: pl.DataFrame) -> pl.DataFrame:
        """See counterpoint.point_in_time.FeatureSource."""
        versions = self._retrieve(services.TRAINING, requests)
        with_history = versions.filter(pl.col(columns.HISTORY_VERSION).is_not_null()).select(
            columns.REQUEST, columns.HISTORY_VERSION, columns.TIMESTAMP
        )
        histories = self._retrieve(services.TRAINING_HISTORY, with_history)
        return versions.join(
            histories.select(columns.REQUEST, *feature_tables.LISTS),
            on=columns.REQUEST,
            how="left",
        ).select(*REQUESTS, *USER_FEATURES)

    def item_profiles(self, ids: pl.Series) -> pl.DataFrame:
        """Return columns.ITEMS of these items, nulls where nothing is known about one."""
        return self._newest(services.CATALOGUE, columns.ITEM, ids).select(*columns.ITEMS)

    def user_profiles(self, ids: pl.Series) -> pl.DataFrame:
        """Return columns.USERS of these users, nulls where nothing is known about one."""
        return self._newest(services.TRAINING, columns.USER, ids).select(*columns.USERS)

    def describe(self) -> dict[str, Any]:
        """Return the services and stores behind the features, for features.json."""
        return {
            "source": "feast",
            "project": self.store.project,
            "services": list(services.FEATURES),
            "offline_store": self.store.config.offline_store.type,
            "online_store": self.store.config.online_store.type,
            "data_version": self.folder.name,
        }

    def materialise(self) -> None:
        """Write the newest features of all online views to the online store."""
        since, until = self._span()
        logger.info("features: materialise features up to %s", until)
        with _quiet():
            self.store.materialize(since - timedelta(seconds=1), until)

    def online(self, user_ids: Sequence[str]) -> pl.DataFrame:
        """Return the user and USER_FEATURES as the online store has them now.

        A user who is not in the store has empty lists and a null ``history_until``.
        """
        with _quiet():
            service = self.store.get_feature_service(services.RECOMMENDER)
        rows = [{columns.USER: user} for user in user_ids]
        with _quiet():
            answer = self.store.get_online_features(features=service, entity_rows=rows).to_dict()
        schema = {columns.USER: pl.String(), **USER_FEATURES}
        return pl.DataFrame({name: answer[name] for name in schema}, schema=schema).with_columns(
            pl.col(LISTS).fill_null([])
        )

    def dated(self, user_ids: Sequence[str]) -> list[datetime | None]:
        """Return the feature timestamps of the users' online histories, nothing where is none."""
        with _quiet():
            view = self.store.get_feature_view(feature_tables.USER_HISTORY)
            rows = self.store._get_provider().online_read(
                self.store.config, view, [user_key(user) for user in user_ids]
            )
        return [stamp for stamp, _ in rows]

    @property
    def online_store(self) -> Any:
        """Feast's online store, for what only one kind of store can do."""
        return self.store._get_provider().online_store

    def without_profile(self, item_ids: Sequence[str]) -> list[str]:
        """Return the items of which the online store has no profile."""
        with _quiet():
            view = self.store.get_feature_view(feature_tables.ITEM_PROFILE)
            keys = [_key(columns.ITEM, item) for item in item_ids]
            rows = self.store._get_provider().online_read(self.store.config, view, keys)
        return [item for item, (_, found) in zip(item_ids, rows, strict=True) if not found]

    def push(self, histories: pl.DataFrame) -> None:
        """Replace online histories by newer ones; ``feature_repo.push`` adds single events.

        Args:
            histories: Rows of ``user_history`` (feature_tables.SCHEMAS), one per user.

        Raises:
            DataError: A row is older than the one in the store; nothing is written then.
        """
        until = columns.HISTORY_UNTIL
        older = histories.join(
            self.online(histories[columns.USER].to_list()), on=columns.USER, suffix="_stored"
        ).filter(pl.col(until) < pl.col(f"{until}_stored"))
        if not older.is_empty():
            raise DataError(
                f"{len(older)} of {len(histories)} pushed histories are older than those in the "
                f"online store, first of user {older[columns.USER][0]!r}: {older[until][0]} < "
                f"{older[f'{until}_stored'][0]} us. Only newer histories are allowed. Push single "
                "events with feature_repo.push.push_events, which merges late ones."
            )
        with _quiet():
            self.store.push(PUSH_SOURCE, histories.to_pandas(), to=PushMode.ONLINE)

    def _newest(self, service: str, key: str, ids: pl.Series) -> pl.DataFrame:
        """Retrieve the features of these ids after the last event."""
        _, until = self._span()
        return self._retrieve(
            service,
            pl.DataFrame({key: ids}).with_columns(
                pl.lit(until).cast(columns.INSTANT).alias(columns.TIMESTAMP)
            ),
        )

    def _retrieve(self, service: str, requests: pl.DataFrame) -> pl.DataFrame:
        """Run get_historical_features, result as Arrow: pandas would turn integers into floats."""
        schema = {
            name: dtype
            for view in services.FEATURES[service]
            for name, dtype in feature_tables.SCHEMAS[view].items()
            if name != columns.FEATURE_TIMESTAMP
        } | requests.schema
        if requests.is_empty():
            return pl.DataFrame(schema=schema)
        entities = requests.rename({columns.TIMESTAMP: columns.FEATURE_TIMESTAMP}).to_pandas()
        with _quiet():
            job = self.store.get_historical_features(
                entity_df=entities, features=self.store.get_feature_service(service)
            )
            frame = pl.DataFrame(job.to_arrow())
        # Spark returns instants without a zone (they are UTC), and columns of nulls without a type.
        return frame.rename({columns.FEATURE_TIMESTAMP: columns.TIMESTAMP}).select(
            pl.col(name).cast(dtype) for name, dtype in schema.items()
        )

    def _span(self) -> tuple[datetime, datetime]:
        """First and last feature timestamp of all tables."""
        stamps = [
            pl.scan_parquet(feature_tables.path(self.folder / TABLES, table))
            .select(
                pl.col(columns.FEATURE_TIMESTAMP).min().alias("first"),
                pl.col(columns.FEATURE_TIMESTAMP).max().alias("last"),
            )
            .collect()
            for table in feature_tables.SCHEMAS
        ]
        both = pl.concat(stamps)
        first, last = both["first"].min(), both["last"].max()
        assert isinstance(first, datetime) and isinstance(last, datetime)
        return first, last


def user_key(user_id: str) -> EntityKey:
    """Return a user's key as online stores take it."""
    return _key(columns.USER, user_id)


def _key(name: str, value: str) -> EntityKey:
    return EntityKey(join_keys=[name], entity_values=[Value(string_val=value)])


def release_duckdb() -> None:
    """Let go of the process-wide DuckDB connection; the next retrieval opens another one.

    A connection that is still open when Python exits floods stderr with notes on leaked objects.
    """
    # Imported here: the feature server's image has no DuckDB.
    import ibis

    ibis.options.default_backend = None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Turn what Feast prints into debug messages, and drop its notes on each registry access."""
    printed = io.StringIO()
    registry = logging.getLogger("feast.infra.registry")
    level = registry.level
    registry.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(printed):
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        registry.setLevel(level)
    for line in filter(None, printed.getvalue().splitlines()):
        logger.debug("feast: %s", line)
