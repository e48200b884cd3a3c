"""The versions that a process serves: loaded beside each other, swapped in one step.

A thread looks at ``live/desired.json`` every 100 ms; requests never look, load or wait. What is
missing is loaded by that thread while the old versions answer; then one assignment replaces what
``current`` returns. A request keeps the ``Serving`` it started with, so it is answered by whole
versions; one that is no longer wanted is closed and freed when nobody holds it any more.

Runs inside Triton: standard library only.
"""

import json
import logging
import threading
import weakref
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from serving.engine import live_folder
from serving.engine.live_folder import DESIRED, Desired, Entry

logger = logging.getLogger(__name__)

LOOK_SECONDS = 0.1
"""Six processes look: more often would keep a small machine awake."""

E_co = TypeVar("E_co", covariant=True)
E = TypeVar("E")


class Load(Protocol[E_co]):
    """Makes the engine of a version from its payload folder; raises whatever is wrong with it."""

    def __call__(self, folder: Path, entry: Entry) -> E_co:
        """Load a version."""
        ...


@dataclass(frozen=True)
class Loaded(Generic[E]):
    """A version that can answer.

    Attributes:
        version: Name in the registry.
        number: Triton's version number.
        engine: Answers.
        lock: Held by the thread that asks the engine: while roles change, the shadow's thread may
            still ask what requests ask already.
    """

    version: str
    number: int
    engine: E
    lock: threading.Lock = field(default_factory=threading.Lock, compare=False, repr=False)


@dataclass(frozen=True)
class Serving(Generic[E]):
    """What one request sees.

    Attributes:
        champion: Answers everybody who is not with the canary.
        canary: Answers ``share`` of the users, or none.
        share: Share of the canary.
        salt: Chooses the canary's users.
        shadow: Answers copies of the requests, or none.
        idle: Held in memory without a role.
    """

    champion: Loaded[E]
    canary: Loaded[E] | None = None
    share: float = 0.0
    salt: str = ""
    shadow: Loaded[E] | None = None
    idle: tuple[Loaded[E], ...] = ()

    @property
    def loaded(self) -> dict[str, Loaded[E]]:
        """All versions by name."""
        roles = (self.champion, self.canary, self.shadow, *self.idle)
        return {found.version: found for found in roles if found}


class Versions(Generic[E]):
    """Follows ``live/desired.json``.

    The first versions are loaded before the constructor returns, so that a server that says it is
    ready can answer. A version that cannot be loaded never disturbs the others: the roles that need
    it keep what they had (a canary or shadow: none), and the status file says why. It is tried
    again when desired.json is written again.

    Args:
        live: The folder (serving/engine/live_folder.py).
        load: Makes the engine of a version.
        model: Name of the served model, for the status file.

    Raises:
        OSError: There is no desired.json.
        ValueError: It is damaged.
        Exception: Whatever ``load`` raises for the champion, if the fallback cannot serve either.
    """

    def __init__(self, live: Path, load: Load[E], *, model: str = "recommend") -> None:
        self._live = live
        self._load = load
        self._model = model
        self._told: Callable[[Serving[E]], None] = lambda serving: None
        self._errors: dict[str, str] = {}
        self._stop = threading.Event()
        self._gone: deque[E] = deque()
        live_folder.drop_dead_statuses(live)
        self._seen = live_folder.signature(live)
        desired = Desired.read(live)
        self._serving: Serving[E] = Serving(self._first(desired))
        self._follow(desired)
        self._thread = threading.Thread(target=self._watch, name="versions", daemon=True)
        self._thread.start()

    def current(self) -> Serving[E]:
        """Return what serves now; take it once per request and keep it."""
        return self._serving

    def tell(self, told: Callable[[Serving[E]], None]) -> None:
        """Have a function told what serves, now and after every change (by another thread)."""
        self._told = told
        told(self._serving)

    def close(self) -> None:
        """Stop following and withdraw the status file."""
        if self._stop.is_set():
            return
        self._stop.set()
        self._thread.join()
        del self._serving
        self._close_gone()
        self._status_path.unlink(missing_ok=True)

    def _watch(self) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            self._close_gone()
            seen = live_folder.signature(self._live)
            if seen is None or seen == self._seen:
                continue
            self._seen = seen
            try:
                self._follow(Desired.read(self._live))
            except Exception as error:  # The thread must live: without it nothing is followed.
                logger.exception("%s keeps serving what it serves", self._model)
                self._errors = {DESIRED: str(error)}
                self._tell()

    def _first(self, desired: Desired) -> Loaded[E]:
        try:
            return self._make(desired.champion)
        except Exception:  # A broken version may fail in any way.
            if desired.fallback is None:
                raise
            logger.exception(
                "Champion %s cannot be loaded; %s serves instead",
                desired.champion.version,
                desired.fallback.version,
            )
            return self._make(desired.fallback)

    def _follow(self, desired: Desired) -> None:
        """Load what is missing, swap, drop what is not wanted."""
        self._errors = {}
        before = self._serving
        known = before.loaded
        wanted: dict[str, Loaded[E]] = {}
        for entry in desired.entries:
            if entry.version in wanted or entry.version in self._errors:
                continue
            try:
                wanted[entry.version] = known.get(entry.version) or self._make(entry)
            except Exception as error:  # A broken version may fail in any way.
                logger.exception("Version %s cannot be loaded", entry.version)
                self._errors[entry.version] = f"{type(error).__name__}: {error}"
        canary, shadow = desired.canary, desired.shadow
        champion = wanted.get(desired.champion.version, before.champion)
        beside = {v: loaded for v, loaded in wanted.items() if v != champion.version}
        self._serving = Serving(
            champion=champion,
            canary=beside.get(canary.version) if canary else None,
            share=canary.share if canary else 0.0,
            salt=canary.salt if canary else "",
            shadow=beside.get(shadow.version) if shadow else None,
            idle=tuple(v for entry in desired.loaded if (v := beside.get(entry.version))),
        )
        try:
            self._told(self._serving)
        except Exception:  # Its fault is not one of the versions.
            logger.exception("The listener failed")
        self._tell()

    def _make(self, entry: Entry) -> Loaded[E]:
        folder = live_folder.payload(self._live, entry.version)
        if not folder.is_dir():
            raise FileNotFoundError(f"{folder} does not exist")
        loaded = Loaded(entry.version, entry.number, self._load(folder, entry))
        # Whoever drops it last may be a request, which must not wait for the end of an engine.
        weakref.finalize(loaded, self._gone.append, loaded.engine).atexit = False
        return loaded

    def _close_gone(self) -> None:
        while self._gone:
            engine = self._gone.popleft()
            try:
                getattr(engine, "close", lambda: None)()
            except Exception:  # It is gone either way; the thread must live.
                logger.exception("A version did not end well")

    @property
    def _status_path(self) -> Path:
        return self._live / f"status-{live_folder.identity()['pid']}-{self._model}.json"

    def _tell(self) -> None:
        now = self._serving
        canary = {"version": now.canary.version, "share": now.share} if now.canary else None
        status = {
            **live_folder.identity(),
            "model": self._model,
            "champion": now.champion.version,
            "canary": canary,
            "shadow": now.shadow.version if now.shadow else None,
            "loaded": sorted(now.loaded),
            "errors": self._errors,
            "desired": self._seen,
            "when": datetime.now(UTC).isoformat(timespec="milliseconds"),
        }
        logger.info("%s serves %s", self._model, json.dumps(status, sort_keys=True))
        try:
            live_folder.write_text(self._status_path, json.dumps(status, indent=2))
        except OSError as error:  # A read-only folder: nobody can be told, answers go on.
            logger.warning("%s cannot be written: %s", self._status_path, error)


class Fixed(Generic[E]):
    """One version for good, in place of ``Versions``.

    Args:
        folder: Files of the version.
        entry: The version.
        load: Makes its engine.
    """

    def __init__(self, folder: Path, entry: Entry, load: Load[E]) -> None:
        engine = load(folder, entry)
        self._serving: Serving[E] = Serving(Loaded(entry.version, entry.number, engine))

    def current(self) -> Serving[E]:
        """Return what serves."""
        return self._serving

    def tell(self, told: Callable[[Serving[E]], None]) -> None:
        """Tell a function what serves."""
        told(self._serving)

    def close(self) -> None:
        """End the engine."""
        getattr(self._serving.champion.engine, "close", lambda: None)()
