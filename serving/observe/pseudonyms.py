"""User ids as they may be written: HMAC-SHA256 with a key that the logs do not hold."""

import hashlib
import hmac
import secrets
from pathlib import Path

_SHORTEST_KEY = 16
_DIGITS = 32


class Pseudonyms:
    """Replaces user ids.

    Equal users get equal pseudonyms under one key; without the key nobody gets back to the user
    or tests a guess.

    Args:
        key: At least 16 bytes; none: random, so that pseudonyms of two processes cannot be joined.

    Raises:
        ValueError: The key is too short.
    """

    def __init__(self, key: bytes | None = None) -> None:
        if key is not None and len(key) < _SHORTEST_KEY:
            raise ValueError(
                f"The key has {len(key)} bytes, {_SHORTEST_KEY} or more are needed. Make one with "
                f"`openssl rand -hex 32`."
            )
        self._start = hmac.new(key or secrets.token_bytes(32), digestmod=hashlib.sha256)

    def of(self, user: str) -> str:
        """Return the pseudonym of a user (32 hexadecimal digits), or nothing for nobody."""
        if not user:
            return ""
        mac = self._start.copy()
        mac.update(user.encode("utf-8", "surrogatepass"))
        return mac.hexdigest()[:_DIGITS]


def from_file(path: str) -> Pseudonyms:
    """Read the key from a file (surrounding white space is no part of it); no path: a random key.

    Raises:
        ValueError: The key is too short.
        OSError: The file cannot be read.
    """
    return Pseudonyms(Path(path).read_bytes().strip() if path else None)
