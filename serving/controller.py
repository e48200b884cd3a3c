"""Has a running server follow the registry: polls the pointers, fills the live folder.

::

    registry: champion.json, canary.json, …  ──►  live/versions/<version>/, live/desired.json
                                                  live/controller.json: what was dealt with

Whatever is wrong with the registry, the server keeps serving what it serves. A version that a
process reports it cannot load is withdrawn from all of them, so that they agree; it is tried again
when it is taken back and named again.
"""

import json
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from counterpoint.errors import DataError
from serving.engine import live_folder
from serving.engine.live_folder import Desired
from serving.payloads import Payloads
from serving.registry import Registry

STATUS = "controller.json"


class Controller:
    """Follows one registry for one live folder.

    Args:
        registry: The registry.
        live: The live folder.
        models: Model repository of the server: the models that follow the live folder.
        announce: Shown a sentence when what is served changes.
    """

    def __init__(
        self, registry: Registry, live: Path, *, models: Path, announce: Callable[[str], None]
    ) -> None:
        self._registry = registry
        self._live = live
        self._models = models
        self._announce = announce
        self._payloads = Payloads(registry, live, form="local")
        self._status: dict[str, Any] = {}
        self._unloadable: dict[str, str] = {}
        self._warned: set[str] = set()
        self._shown = ""

    def begin(self) -> Desired:
        """Bring what the registry points at, before a server is started.

        Raises:
            DataError: There is no champion, or it is damaged.
            ConfigError: The champion's version does not exist.
        """
        self._live.mkdir(parents=True, exist_ok=True)
        live_folder.drop_dead_statuses(self._live)
        return self._follow()

    def step(self) -> None:
        """Look at the registry once; a fault is warned of once and changes nothing."""
        try:
            self._follow()
        except Exception as error:  # A remote registry fails in ways of its own.
            # The text of a remote registry's errors may differ each time (request ids).
            self._warn({"": f"The registry cannot be followed, the server serves on: {error}"})
        self._show()

    def run(self, stop: threading.Event, *, seconds: float) -> None:
        """Look every few seconds until told to stop."""
        while not stop.wait(seconds):
            self.step()
        (self._live / STATUS).unlink(missing_ok=True)

    def _follow(self) -> Desired:
        pointers = self._registry.pointers()
        if pointers is None:
            raise DataError(
                f"The registry {self._registry.root} has no champion to serve. Run `counterpoint "
                f"run training` first, or name the registry (deploy.registry)."
            )
        if pointers.text() != self._status.get("pointers"):
            named = pointers.versions
            self._unloadable = {v: why for v, why in self._unloadable.items() if v in named}
        else:
            self._learn(pointers.versions)
        fallback = self._fallback(pointers.champion)
        usable = pointers.without(self._unloadable, fallback=fallback)
        spare = fallback if usable.champion == pointers.champion else None
        desired, errors = self._payloads.desire(usable, fallback=spare)
        errors |= self._unloadable
        desired.write(self._live)
        kept = {entry.version for entry in (*desired.entries, desired.fallback) if entry}
        for status in live_folder.statuses(self._live):
            kept |= set(status["loaded"])
        self._payloads.prune(kept)
        self._warn({fault: fault for fault in (*pointers.faults, *errors.values())})
        self._tell({"pointers": pointers.text(), "errors": errors})
        return desired

    def _learn(self, versions: list[str]) -> None:
        """Note which versions the processes could not load when they were last told."""
        signature = live_folder.signature(self._live)
        for status in live_folder.statuses(self._live):
            if status["desired"] == signature:
                failed = {v: why for v, why in status["errors"].items() if v in versions}
                self._unloadable |= failed

    def _fallback(self, champion: str) -> str | None:
        """Return the version to serve if the champion cannot be loaded.

        None as soon as every model has loaded the champion: while a server starts, some models
        report before others have read the files that they need.
        """
        statuses = live_folder.statuses(self._live)
        serving = [status["champion"] for status in statuses]
        waiting = self._names() - {status["model"] for status in statuses}
        if serving and not waiting and all(version == champion for version in serving):
            return None
        candidates = [version for version in serving if version != champion]
        try:
            before = Desired.read(self._live)
            candidates += [e.version for e in (before.champion, before.fallback) if e]
        except (OSError, ValueError):  # The first start, or a damaged file that is written anew.
            pass
        usable = (v for v in candidates if v != champion and self._payloads.has(v))
        return next(usable, None)

    def _names(self) -> set[str]:
        """Return the names of the models; none before they are written."""
        try:
            return {entry.name for entry in self._models.iterdir() if entry.is_dir()}
        except FileNotFoundError:
            return set()

    def _warn(self, faults: Mapping[str, str]) -> None:
        """Tell the faults (by their identity) that were not there at the last look."""
        for name, fault in faults.items():
            if name not in self._warned:
                self._announce(f"Warning: {fault}")
        if self._warned and not faults:
            self._announce("The registry is followed again.")
        self._warned = set(faults)

    def _tell(self, status: dict[str, Any]) -> None:
        if status != self._status:
            content = json.dumps({**live_folder.identity(), **status}, indent=2)
            live_folder.write_text(self._live / STATUS, content)
            self._status = status

    def _show(self) -> None:
        fronts = [s for s in live_folder.statuses(self._live) if s["model"] == "recommend"]
        lines = sorted({describe(status) for status in fronts})
        if lines and (shown := "; ".join(lines)) != self._shown:
            self._announce(f"Serving {shown}.")
            self._shown = shown


def describe(status: dict[str, Any]) -> str:
    """Say what a process serves."""
    parts = [f"champion {status['champion']}"]
    if status["canary"]:
        canary = status["canary"]
        parts.append(f"canary {canary['version']} for {canary['share']:.1%} of the users")
    if status["shadow"]:
        parts.append(f"shadow {status['shadow']}")
    idle = set(status["loaded"]) - {
        *(status["champion"], status["shadow"]),
        *([status["canary"]["version"]] if status["canary"] else []),
    }
    parts += [f"{version} loaded" for version in sorted(idle)]
    return ", ".join(parts)
