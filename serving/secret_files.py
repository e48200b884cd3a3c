"""Files that a server is given: they must exist, and secrets must be secret."""

import stat
from pathlib import Path

from counterpoint.errors import SetupError


def private(path: Path, field: str) -> Path:
    """Check that a file with a secret exists and only its owner (or group) can read it.

    Raises:
        SetupError: It is missing or readable by everybody.
    """
    found = existing(str(path), field)
    if found.stat().st_mode & (stat.S_IROTH | stat.S_IWOTH):
        raise SetupError(
            f"{field}: every user of this machine can read {path}. Run `chmod 600 {path}`."
        )
    return found


def existing(path: str, field: str) -> Path:
    """Return the absolute path of a file.

    Raises:
        SetupError: It is missing.
    """
    found = Path(path).absolute()
    if not found.is_file():
        raise SetupError(
            f"{field}: the file {path} does not exist. `counterpoint certificates` makes files to "
            f"try TLS and tokens with; otherwise name an existing file."
        )
    return found
