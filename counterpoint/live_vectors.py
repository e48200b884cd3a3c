"""The vectors of a live item: checked, and kept as little-endian float32. Standard library only."""

import base64
import json
import math
import re
import struct
from collections.abc import Mapping, Sequence
from typing import Any

MAX_MODALITIES = 16
MAX_WIDTH = 4_096
"""Numbers of a vector at most, as in validation (expectations/vectors.py)."""

Vectors = tuple[tuple[str, bytes], ...]
"""Names of modalities and their vectors."""


def parse(value: Any) -> Vectors:
    """Check an object of name of a modality -> list of numbers, or null for none.

    Raises:
        ValueError: Says what is wrong and what is allowed.
    """
    if value is None:
        return ()
    if not isinstance(value, Mapping):
        raise ValueError(
            f'{_short(value)} is not an object; send for example {{"image": [0.12, -0.5]}}.'
        )
    if len(value) > MAX_MODALITIES:
        raise ValueError(f"{len(value)} modalities; at most {MAX_MODALITIES} are allowed.")
    return tuple((name, _packed(name, given)) for name, given in value.items() if given is not None)


def numbers(content: bytes) -> list[float]:
    """The numbers of a vector."""
    return list(struct.unpack(f"<{len(content) // 4}f", content))


def to_text(vectors: Vectors) -> str:
    """Return them as JSON text for the store."""
    return json.dumps({name: base64.b64encode(content).decode() for name, content in vectors})


def from_text(text: str | None) -> Vectors:
    """Read what ``to_text`` returned; null: none."""
    given = json.loads(text or "{}")
    return tuple((name, base64.b64decode(content)) for name, content in given.items())


def _packed(name: Any, value: Any) -> bytes:
    if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9_]{0,31}", name):
        raise ValueError(f"{_short(name)} is no name of a modality, such as image.")
    if not isinstance(value, Sequence) or isinstance(value, str | bytes) or not value:
        raise ValueError(f"{_short(value)} of {name} is not a list of numbers.")
    if len(value) > MAX_WIDTH:
        raise ValueError(f"{name} has {len(value)} numbers; at most {MAX_WIDTH} are allowed.")
    for place, number in enumerate(value):
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise ValueError(f"{_short(number)} at place {place} of {name} is no number.")
        if not math.isfinite(number):
            raise ValueError(f"{number} at place {place} of {name} is not finite.")
    try:
        content = struct.pack(f"<{len(value)}f", *value)
    except OverflowError:
        raise ValueError(f"a number of {name} is too large for float32.") from None
    if not any(numbers(content)):
        raise ValueError(
            f"{name} holds only zeros, which say nothing; leave out the vector of an item that has "
            f"none."
        )
    return content


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}…"
