"""The token file: one line ``inference=…``, and one ``admin=…`` where admin calls are allowed."""

import re
import secrets
from pathlib import Path

from counterpoint.errors import SetupError
from serving.secret_files import private

HEADER = "authorization"
"""HTTP header of the token; gRPC metadata carry it with Triton's prefix, see ``GRPC_HEADER``."""

GRPC_HEADER = f"triton-grpc-protocol-{HEADER}"

NAMES = ("inference", "admin")

# Triton splits its flags at commas, colons and equal signs; a token has none of them.
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]{16,256}")


def read(path: Path) -> tuple[str, str | None]:
    """Return the tokens for inference and for admin calls.

    Raises:
        SetupError: The file is missing, readable by everybody, or holds no usable tokens.
    """
    found: dict[str, str] = {}
    lines = private(path, "deploy.token_file").read_text("utf-8").splitlines()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        name, _, token = (part.strip() for part in line.partition("="))
        if name not in NAMES or name in found or not _TOKEN.fullmatch(token):
            raise SetupError(
                f"{path}, line {number}, is not `inference=TOKEN` or `admin=TOKEN`, each once, "
                f"with 16 to 256 letters, digits or any of . _ ~ + / - as token. Make one with "
                f"`openssl rand -hex 32`."
            )
        found[name] = token
    if "inference" not in found:
        raise SetupError(
            f"{path} has no line `inference=TOKEN`. Make one with `openssl rand -hex 32`."
        )
    if found["inference"] == found.get("admin"):
        raise SetupError(f"{path}: both tokens are the same. Make two of them.")
    return found["inference"], found.get("admin")


def write(path: Path) -> None:
    """Write new tokens of 256 random bits, readable by the owner only."""
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text("".join(f"{name}={secrets.token_hex(32)}\n" for name in NAMES), "utf-8")
