"""The items of a version as arrays, and the file that holds them (numpy only, no pickle).

Texts are kept as one run of UTF-8 bytes with offsets: a million items load in well under a second,
and Triton's environment, which reads no Parquet, needs nothing for it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

Texts = npt.NDArray[np.object_]
"""(N,) UTF-8 byte strings, as Triton takes and gives them."""

ALWAYS_FROM = np.iinfo(np.int64).min
ALWAYS_UNTIL = np.iinfo(np.int64).max


@dataclass(frozen=True)
class ItemTable:
    """Items in index order.

    Attributes:
        ids: (N,) item ids.
        titles: (N,) titles; the id where there is none.
        tokens: (A,) attribute tokens ``name=value`` that occur.
        starts: (N + 1,) where the attributes of each item begin in ``codes``.
        codes: (M,) zero-based indices into ``tokens``.
        available_from: (N,) microseconds since 1970, the first moment the item may be shown.
        available_until: (N,) microseconds since 1970, the first moment it may no longer be.
    """

    ids: Texts
    titles: Texts
    tokens: Texts
    starts: npt.NDArray[np.int64]
    codes: npt.NDArray[np.int64]
    available_from: npt.NDArray[np.int64]
    available_until: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ids)


def table(
    ids: Sequence[str],
    *,
    titles: Sequence[str | None] | None = None,
    attributes: Sequence[Sequence[str] | None] | None = None,
    available_from: Sequence[int | None] | None = None,
    available_until: Sequence[int | None] | None = None,
) -> ItemTable:
    """Build a table from plain values; what is not given is unknown and bars nothing."""
    count = len(ids)
    owned = [list(dict.fromkeys(tokens or ())) for tokens in attributes or [()] * count]
    names = sorted({token for tokens in owned for token in tokens})
    place = {token: index for index, token in enumerate(names)}
    shown = [title or item for title, item in zip(titles or ids, ids, strict=True)]
    return ItemTable(
        ids=texts(ids),
        titles=texts(shown),
        tokens=texts(names),
        starts=np.cumsum([0, *map(len, owned)], dtype=np.int64),
        codes=np.array([place[t] for tokens in owned for t in tokens], dtype=np.int64),
        available_from=_moments(available_from, count, ALWAYS_FROM),
        available_until=_moments(available_until, count, ALWAYS_UNTIL),
    )


def join(first: ItemTable, second: ItemTable) -> ItemTable:
    """Return the items of both tables, those of the first one before."""
    place = {token: index for index, token in enumerate(first.tokens)}
    new = [token for token in second.tokens if token not in place]
    place.update({token: len(place) + index for index, token in enumerate(new)})
    codes = np.array([place[token] for token in second.tokens], dtype=np.int64)[second.codes]
    return ItemTable(
        ids=np.concatenate([first.ids, second.ids]),
        titles=np.concatenate([first.titles, second.titles]),
        tokens=np.concatenate([first.tokens, texts(new)]),
        starts=np.concatenate([first.starts, second.starts[1:] + first.starts[-1]]),
        codes=np.concatenate([first.codes, codes]),
        available_from=np.concatenate([first.available_from, second.available_from]),
        available_until=np.concatenate([first.available_until, second.available_until]),
    )


def write(path: Path, items: ItemTable) -> None:
    """Write the table as an ``.npz`` file."""
    arrays: dict[str, npt.NDArray[np.generic]] = {
        name: value for name, value in vars(items).items() if value.dtype != object
    }
    for name in ("ids", "titles", "tokens"):
        values = list(getattr(items, name))
        arrays[name] = np.frombuffer(b"".join(values), dtype=np.uint8)
        arrays[f"{name}_ends"] = np.cumsum(list(map(len, values)), dtype=np.int64)
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def read(path: Path) -> ItemTable:
    """Read what ``write`` wrote."""
    with np.load(path, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    for name in ("ids", "titles", "tokens"):
        run, ends = arrays[name].tobytes(), arrays.pop(f"{name}_ends").tolist()
        arrays[name] = texts(run[a:b] for a, b in zip([0, *ends], ends, strict=False))
    return ItemTable(**arrays)


def texts(values: Iterable[str | bytes]) -> Texts:
    """Return the strings as an (N,) object array of UTF-8 bytes."""
    found = [value.encode() if isinstance(value, str) else value for value in values]
    array = np.empty(len(found), dtype=object)
    array[:] = found
    return array


def _moments(
    values: Sequence[int | None] | None, count: int, default: int
) -> npt.NDArray[np.int64]:
    if values is None:
        return np.full(count, default, dtype=np.int64)
    return np.array([default if value is None else value for value in values], dtype=np.int64)
