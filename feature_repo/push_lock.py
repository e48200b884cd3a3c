"""One merge at a time: reading a history, adding to it and writing it back must not interleave."""

import contextlib
import logging
from collections.abc import Iterator
from typing import Final

from filelock import FileLock

from counterpoint.errors import ServerError
from feature_repo.store import FeatureRepository

logger = logging.getLogger(__name__)

WAIT_SECONDS: Final = 10.0
HELD_SECONDS: Final = 30.0
"""After this long Redis frees the lock of a process that died."""


@contextlib.contextmanager
def exclusive(repository: FeatureRepository) -> Iterator[None]:
    """Hold the only right to push to the online store, over all processes that push to it.

    Raises:
        ServerError: Others have kept the lock for too long.
    """
    if repository.store.config.online_store.type == "redis":
        with _redis(repository):
            yield
    else:
        with FileLock(repository.folder / ".push.lock"):
            yield


@contextlib.contextmanager
def _redis(repository: FeatureRepository) -> Iterator[None]:
    # Imported here: a local store needs no Redis client.
    from redis.exceptions import LockNotOwnedError

    config = repository.store.config
    client = repository.online_store._get_client(config.online_store)
    lock = client.lock(f"{config.project}:push", timeout=HELD_SECONDS, sleep=0.005)
    if not lock.acquire(blocking_timeout=WAIT_SECONDS):
        raise ServerError(
            f"Other processes have been pushing to the online store for {WAIT_SECONDS:g} s without "
            f"a pause. Push again; send many events in one request instead of one by one."
        )
    try:
        yield
    finally:
        try:
            lock.release()
        except LockNotOwnedError:
            logger.warning("A push took longer than %g s and lost its lock", HELD_SECONDS)
