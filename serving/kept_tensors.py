"""Output tensors that are the same in many answers, made once (inside Triton: numpy only).

Most answers say ``known_user``, not degraded, nothing unknown, nothing drawn, and name one version.
Making a tensor of the Python backend takes tens of microseconds and a place in the memory that it
shares with Triton; one that lies there already is handed over as it is.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from serving.spec import Arrays

MOST: Final = 256
"""Tensors that are kept; beyond, all are made anew."""

MOST_BYTES: Final = 1024
"""Larger tensors are hardly ever equal, and comparing them costs more."""


class KeptTensors:
    """Makes output tensors and keeps those of some names; for one thread.

    Args:
        make: Makes a tensor of a name and an array.
        names: Outputs that are worth keeping: few different values, all of them small.
    """

    def __init__(
        self, make: Callable[[str, npt.NDArray[np.generic]], Any], names: Collection[str]
    ) -> None:
        self._make = make
        self._names = frozenset(names)
        self._kept: dict[tuple[object, ...], Any] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def of(self, answer: Arrays | Mapping[str, Any], wanted: Collection[str]) -> list[Any]:
        """Return the wanted tensors of an answer, in its order."""
        return [self._tensor(name, value) for name, value in answer.items() if name in wanted]

    def _tensor(self, name: str, value: npt.NDArray[np.generic]) -> Any:
        key = _key(name, value) if name in self._names else None
        if key is None:
            return self._make(name, value)
        found = self._kept.get(key)
        if found is None:
            if len(self._kept) >= MOST:
                self._kept.clear()
            found = self._kept[key] = self._make(name, value)
        return found


def _key(name: str, value: npt.NDArray[np.generic]) -> tuple[object, ...] | None:
    """Return what two equal tensors have in common, none if they are not worth keeping."""
    if value.nbytes > MOST_BYTES:
        return None
    if value.dtype != object:
        return name, value.shape, value.dtype, value.tobytes()
    texts = value.ravel().tolist()
    return (name, value.shape, *texts) if sum(map(len, texts)) <= MOST_BYTES else None
