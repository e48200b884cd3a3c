"""A data version as the feature server holds it: stores, readers, Feast's app."""

import contextlib
import logging
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import polars as pl
from feast.feature_server import get_app
from feast.permissions.server.utils import (
    ServerType,
    init_auth_manager,
    init_security_manager,
    str_to_auth_manager_type,
)

from counterpoint import columns
from counterpoint.errors import SetupError
from feature_repo import opening, services, state
from feature_repo.online_reader import OnlineReader, Row
from feature_repo.store import FeatureRepository

logger = logging.getLogger(__name__)

_ATTEMPTS: Final = 5


class Opened:
    """One data version, open for reading and pushing.

    Attributes:
        version: Its name.
        reading: The store that lookups and Feast's app use.
        writing: The same with connections of its own: a reader on the connection of a writer would
            see half a push.
        in_flight: Requests that still use it.
    """

    def __init__(self, reading: FeatureRepository, writing: FeatureRepository) -> None:
        self.reading = reading
        self.writing = writing
        self.version = reading.folder.name
        self.in_flight = 0
        self._readers: dict[str, OnlineReader] = {}
        self._lifespan = contextlib.AsyncExitStack()
        self.reader(services.RECOMMENDER)
        # Never to refresh the registry: a data version does not change.
        self.feast: Any = get_app(reading.store, registry_ttl_sec=0)

    @property
    def is_local(self) -> bool:
        """Whether the online store belongs to this data version alone."""
        return bool(self.reading.store.config.online_store.type == "sqlite")

    def reader(self, service: str) -> OnlineReader:
        """Return the reader of a service.

        Raises:
            SetupError: There is no such service, or only Feast's own route can read it.
        """
        if service not in self._readers:
            self._readers[service] = OnlineReader(self.reading.store, service)
        return self._readers[service]

    async def read(self, service: str, users: Sequence[str]) -> list[Row]:
        """Return the features of users (OnlineReader.read)."""
        return await self.reader(service).read(users)

    async def start(self) -> None:
        """Start Feast's app."""
        await self._lifespan.enter_async_context(self.feast.router.lifespan_context(self.feast))

    async def close(self) -> None:
        """End Feast's app and close the stores."""
        await self._lifespan.aclose()
        for repository in (self.reading, self.writing):
            if self.is_local:
                repository.online_store._get_conn(repository.store.config).close()

    def unknown_items(self, events: pl.DataFrame) -> list[str]:
        """Return the items of events that have no row in the catalogue's view."""
        ids = events[columns.ITEM].unique(maintain_order=True).to_list()
        return self.writing.without_profile(ids)


def open_current(root: Path) -> Opened:
    """Open the data version that the link ``current`` names.

    Raises:
        SetupError: Nothing was published, or a package or environment variable is missing.
        ConfigError: Its ``feature_store.yaml`` is not a Feast configuration.
    """
    link = root / state.CURRENT
    for _ in range(_ATTEMPTS):
        folder = link.resolve()
        opened = Opened(_load(link), _load(link))
        # The paths of the configuration go through the link, which may have moved meanwhile.
        if link.resolve() == folder == opened.reading.folder == opened.writing.folder:
            return opened
    raise SetupError(f"The link {link} moved {_ATTEMPTS} times while it was being opened.")


def _load(link: Path) -> FeatureRepository:
    repository = opening.load(link)
    config = repository.store.config
    kind = config.auth_config.type
    if kind != "no_auth":
        raise SetupError(
            f"The store configuration asks for authentication ({kind}), which the feature server's "
            f"own routes do not check. Leave `auth` out and let the network decide who may ask."
        )
    manager = str_to_auth_manager_type(kind)
    init_security_manager(auth_type=manager, fs=repository.store)
    init_auth_manager(
        auth_type=manager, server_type=ServerType.REST, auth_config=config.auth_config
    )
    if config.online_store.type == "sqlite":
        connection = repository.online_store._get_conn(config)
        try:
            # Lookups do not wait for pushes then.
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            logger.warning("The online store stays as it is, pushes will fail: %s", error)
    return repository
