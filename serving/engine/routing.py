"""Which version answers a request: a share of the users stays with the canary.

A user is a number in [0, 1) that depends on the salt and the id alone, so every process of every
server sends a user to the same version, and a growing share keeps the users it had (they are those
below the share). Runs inside Triton: standard library only.
"""

import hashlib
from collections.abc import Sequence
from typing import TypeVar

from serving.engine.versions import Loaded, Serving

E = TypeVar("E")

_BITS = 53


def position(salt: str, key: str) -> float:
    """Return a key's place in [0, 1): the first 53 bits of SHA-256 over salt and key.

    53 bits are what a float holds exactly; the place is uniform and independent between salts.
    """
    # The length keeps ("ab", "c") and ("a", "bc") apart.
    text = f"{len(salt)}:{salt}{key}".encode("utf-8", "surrogatepass")
    return (int.from_bytes(hashlib.sha256(text).digest()[:8]) >> (64 - _BITS)) / 2**_BITS


def choose(serving: Serving[E], user_id: str, trace_id: str) -> Loaded[E]:
    """Return the version that answers one row.

    Args:
        serving: What serves now.
        user_id: User of the row; empty: nobody in particular.
        trace_id: Decides for rows without a user: such requests have nothing to stay with.
    """
    if serving.canary is None:
        return serving.champion
    inside = position(serving.salt, user_id or trace_id) < serving.share
    return serving.canary if inside else serving.champion


def split(
    serving: Serving[E], keys: Sequence[tuple[str, str]]
) -> list[tuple[Loaded[E], list[int]]]:
    """Group rows by the version that answers them.

    Args:
        serving: What serves now.
        keys: (user id, trace id) of each row.

    Returns:
        (version, row numbers) of each version that has rows, the champion first.
    """
    if serving.canary is None:
        return [(serving.champion, list(range(len(keys))))] if keys else []
    rows: dict[str, list[int]] = {serving.champion.version: [], serving.canary.version: []}
    for row, (user, trace) in enumerate(keys):
        rows[choose(serving, user, trace).version].append(row)
    both = (serving.champion, serving.canary)
    return [(loaded, rows[loaded.version]) for loaded in both if rows[loaded.version]]
