"""Follows the link ``current``: opens a new data version beside the old one, then changes over."""

import asyncio
import contextlib
import logging
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl

from counterpoint import columns
from feature_repo import state as states
from feature_repo.push import changed_users
from feature_repo.server.opened import Opened, open_current
from feature_repo.server.pushed import Pushed

logger = logging.getLogger(__name__)

LOOK_SECONDS: Final = 0.5


@dataclass(frozen=True)
class PushResult:
    """What a push did.

    Attributes:
        changed: Users whose history changed.
        unknown_items: Items that the catalogue of the feature store does not have.
    """

    changed: list[str]
    unknown_items: list[str]


@dataclass
class _Waiting:
    events: pl.DataFrame
    done: "asyncio.Future[PushResult]"


class Following:
    """The data version that is served.

    All that writes runs in one thread, one after the other: no event is merged into a version
    that has just been replaced.

    Args:
        state: ``features.state``.

    Attributes:
        failure: Why the version that ``current`` names is not the one that is served.
    """

    def __init__(self, state: Path) -> None:
        self._root = state
        self._pushed = Pushed(state)
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="push")
        self._current: Opened | None = None
        self._waiting: list[_Waiting] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._pushing: asyncio.Task[None] | None = None
        self.failure: str | None = None

    async def start(self) -> None:
        """Open the current data version.

        Raises:
            SetupError: Nothing was published, or its stores cannot be opened.
            ConfigError: Its configuration is none.
        """
        await self._change_over()
        self._spawn(self._follow())

    async def stop(self) -> None:
        """Finish pushes and close."""
        if self._pushing is not None:
            await self._pushing
        for task in [*self._tasks]:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._writer.shutdown()
        if self._current is not None:
            await self._current.close()

    @contextlib.contextmanager
    def using(self) -> Iterator[Opened]:
        """Give the version that is served; it stays open until the block ends."""
        opened = self._current
        assert opened is not None
        opened.in_flight += 1
        try:
            yield opened
        finally:
            opened.in_flight -= 1

    async def push(self, events: pl.DataFrame) -> PushResult:
        """Merge events (rows of ``push.EVENT``); those that wait together are merged together."""
        done: asyncio.Future[PushResult] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(events, done))
        if self._pushing is None or self._pushing.done():
            self._pushing = asyncio.create_task(self._push_waiting())
        return await done

    async def _push_waiting(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            taken, self._waiting = self._waiting, []
            events = pl.concat([one.events for one in taken])
            try:
                result = await loop.run_in_executor(self._writer, self._merge, events)
            except Exception as error:  # handed to those who asked
                for one in taken:
                    if not one.done.done():
                        one.done.set_exception(error)
                continue
            for one in taken:
                if not one.done.done():
                    one.done.set_result(_part(result, one.events))

    def _merge(self, events: pl.DataFrame) -> PushResult:
        opened = self._current
        assert opened is not None
        if opened.is_local:
            self._pushed.append(events, opened.version)
        changed = changed_users(opened.writing, events)
        return PushResult(changed, opened.unknown_items(events))

    async def _follow(self) -> None:
        link = self._root / states.CURRENT
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            served = self._current
            assert served is not None
            if link.resolve() == served.reading.folder or states.current(self._root) is None:
                continue
            try:
                await self._change_over()
                self.failure = None
            except Exception as error:  # the old version goes on serving
                if str(error) != self.failure:
                    logger.exception("The new data version cannot be served")
                self.failure = str(error)
                continue
            self._spawn(_close_when_unused(served))

    async def _change_over(self) -> None:
        loop = asyncio.get_running_loop()
        fresh = await loop.run_in_executor(None, open_current, self._root)
        try:
            await fresh.start()
            await loop.run_in_executor(self._writer, self._take, fresh)
        except BaseException:
            await fresh.close()
            raise
        logger.info("The data version %s is served", fresh.version)

    def _take(self, fresh: Opened) -> None:
        """Serve a version, in the thread that pushes: what was pushed until now is in it."""
        if fresh.is_local:
            users = self._pushed.replay(fresh.writing)
            logger.info("%d users have pushed events that the tables lack", users)
        self._current = fresh

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _close_when_unused(opened: Opened) -> None:
    while opened.in_flight:
        await asyncio.sleep(LOOK_SECONDS)
    await opened.close()


def _part(result: PushResult, events: pl.DataFrame) -> PushResult:
    users, items = set(events[columns.USER]), set(events[columns.ITEM])
    return PushResult(
        [user for user in result.changed if user in users],
        [item for item in result.unknown_items if item in items],
    )
