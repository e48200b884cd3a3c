"""What the server that ``counterpoint serve`` keeps on this machine does with a changed pointer."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from counterpoint.errors import ServerError
from serving import controller
from serving.engine import live_folder
from serving.pointers import Pointers

LOOK_SECONDS = 0.05


@dataclass(frozen=True)
class Followed:
    """A running server has dealt with the pointers.

    Attributes:
        statuses: What each of its processes serves.
        errors: Version -> why it could not be brought or loaded.
        seconds: How long it took.
    """

    statuses: list[dict[str, Any]]
    errors: Mapping[str, str]
    seconds: float


def is_running(live: Path) -> bool:
    """Say whether a server follows the registry through this folder."""
    return live_folder.living(live / controller.STATUS) is not None


def wait(live: Path, pointers: Pointers, *, timeout: float) -> Followed | None:
    """Wait until the server that runs on a live folder has dealt with the pointers.

    Args:
        live: The live folder.
        pointers: What the registry says.
        timeout: Seconds.

    Returns:
        What it did, or nothing when no server runs there.

    Raises:
        ServerError: It stopped meanwhile, or did nothing in time.
    """
    if not is_running(live):
        return None
    began = time.monotonic()
    while time.monotonic() < began + timeout:
        status = live_folder.living(live / controller.STATUS)
        if status is None:
            raise ServerError(
                f"The server on {live} stopped before it had followed. The registry has been "
                f"changed: the next `counterpoint serve` serves {pointers.champion}."
            )
        if status["pointers"] == pointers.text():
            signature = live_folder.signature(live)
            found = live_folder.statuses(live)
            if found and all(s["desired"] == signature for s in found):
                errors = {**status["errors"], **_errors(found)}
                return Followed(found, errors, time.monotonic() - began)
        time.sleep(LOOK_SECONDS)
    raise ServerError(
        f"The server on {live} has not followed within {timeout:g} s. The registry has been "
        f"changed; look at the server's output, and at {live / controller.STATUS}."
    )


def _errors(statuses: list[dict[str, Any]]) -> dict[str, str]:
    return {version: why for s in statuses for version, why in s["errors"].items()}
