"""The folder through which a controller tells a running server which versions to serve.

::

    live/versions/<version>/      payload of a version: what the export stage wrote
    live/desired.json             {"champion": {"version", "number"},
                                   "canary": {"version", "number", "share", "salt"} | null,
                                   "shadow": {"version", "number"} | null,
                                   "loaded": [{"version", "number"}],
                                   "fallback": {"version", "number"} | null}
    live/status-<pid>-<model>.json    what a process serves (serving/engine/versions.py)

Runs inside Triton: standard library only.
"""

import json
import os
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

DESIRED = "desired.json"
VERSIONS = "versions"


@dataclass(frozen=True)
class Entry:
    """A version in a role.

    Attributes:
        version: Name in the registry.
        number: Triton's version number.
        share: Share of the users, of a canary.
        salt: Chooses the users, of a canary.
    """

    version: str
    number: int
    share: float = 0.0
    salt: str = ""


@dataclass(frozen=True)
class Desired:
    """What a server should serve.

    Attributes:
        champion: Answers everybody who is not with the canary.
        canary: Answers a share of the users.
        shadow: Answers copies of the requests.
        loaded: Held in memory without a role.
        fallback: The champion before this one, until this one is known to load: a server that
            starts with a champion that it cannot load serves this version instead of nothing.
    """

    champion: Entry
    canary: Entry | None = None
    shadow: Entry | None = None
    loaded: tuple[Entry, ...] = ()
    fallback: Entry | None = None

    @property
    def entries(self) -> list[Entry]:
        """All entries that are to be loaded, the champion first."""
        return [e for e in (self.champion, self.canary, self.shadow, *self.loaded) if e]

    def write(self, live: Path) -> None:
        """Replace desired.json in one step, unless it says the same already."""
        shown = {
            "champion": _shown(self.champion),
            "canary": asdict(self.canary) if self.canary else None,
            "shadow": _shown(self.shadow),
            "loaded": [_shown(entry) for entry in self.loaded],
            "fallback": _shown(self.fallback),
        }
        content = json.dumps(shown, indent=2)
        path = live / DESIRED
        if not path.is_file() or path.read_text("utf-8") != content:
            write_text(path, content)

    @classmethod
    def read(cls, live: Path) -> "Desired":
        """Read desired.json.

        Raises:
            OSError: There is none.
            ValueError: It is damaged.
        """
        try:
            found = json.loads((live / DESIRED).read_text("utf-8"))
            return cls(
                champion=Entry(**found["champion"]),
                canary=_entry(found.get("canary")),
                shadow=_entry(found.get("shadow")),
                loaded=tuple(Entry(**entry) for entry in found.get("loaded", ())),
                fallback=_entry(found.get("fallback")),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{live / DESIRED} is damaged: {error!r}") from error


def payload(live: Path, version: str) -> Path:
    """Return the folder of a version's payload."""
    return live / VERSIONS / version


def write_text(path: Path, content: str) -> None:
    """Write a small file in one step."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        temporary.write_text(content, "utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def statuses(live: Path) -> list[dict[str, Any]]:
    """Return what the living processes of this folder say they serve."""
    return [status for path in _status_files(live) if (status := living(path)) is not None]


def living(path: Path) -> dict[str, Any] | None:
    """Return a status file's content, or nothing when its process is gone.

    Its process id may belong to another process by now, so the start time is compared too.
    """
    try:
        status: dict[str, Any] = json.loads(path.read_text("utf-8"))
        return status if status["started"] == started(int(status["pid"])) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def drop_dead_statuses(live: Path) -> None:
    """Remove the status files of processes that are gone."""
    for path in _status_files(live):
        if living(path) is None:
            path.unlink(missing_ok=True)


def signature(live: Path) -> list[int] | None:
    """Return what changes whenever desired.json is written, or nothing when there is none."""
    try:
        found = (live / DESIRED).stat()
    except OSError:
        return None
    return [found.st_mtime_ns, found.st_ino, found.st_size]


def _status_files(live: Path) -> list[Path]:
    return sorted(live.glob("status-*.json"))


def started(pid: int) -> int:
    """Return when a process started (clock ticks since boot), -1 when there is no such process."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except (OSError, IndexError, ValueError):
        return -1


def identity() -> Mapping[str, int]:
    """Return this process's part of its status file."""
    return {"pid": os.getpid(), "started": started(os.getpid())}


def _shown(entry: Entry | None) -> dict[str, Any] | None:
    return {"version": entry.version, "number": entry.number} if entry else None


def _entry(found: Mapping[str, Any] | None) -> Entry | None:
    return Entry(**found) if found else None
