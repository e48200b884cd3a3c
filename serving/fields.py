"""Reading and checking request tensors. Runs inside Triton: standard library and numpy only."""

from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt

from serving.spec import Arrays, InvalidInput

MAX_LIST = 10_000
"""Longest list a request may carry; a longer one is a mistake and would slow everybody down."""

MAX_TEXT = 65_536
"""Most bytes of one string."""

MAX_REQUEST_BYTES = 1_048_576
"""Most bytes of a request where the deployment names no limit (deploy.max_request_bytes)."""


def check_size(request: Arrays, limit: int) -> None:
    """Refuse a request that holds too much.

    Raises:
        InvalidInput: Names the largest field.
    """
    sizes = {name: _bytes(value) for name, value in request.items() if hasattr(value, "dtype")}
    total = sum(sizes.values())
    if total > limit:
        largest = max(sizes, key=lambda name: sizes[name])
        raise InvalidInput(
            f"{largest}: {sizes[largest]} bytes are too many, the request has {total}; at most "
            f"{limit} are allowed in all (deploy.max_request_bytes). Send fewer or shorter entries."
        )


def _bytes(tensor: npt.NDArray[np.generic]) -> int:
    if tensor.dtype != object:
        return tensor.nbytes
    return sum(map(len, tensor.ravel().tolist()))


def rows_of(request: Arrays, *, but: Collection[str] = ()) -> int:
    """Return the number of rows that all tensors have.

    Args:
        request: The tensors.
        but: Names of tensors that may have another number.

    Raises:
        InvalidInput: There is no tensor, no row, or tensors differ.
    """
    size = None
    for name, tensor in request.items():
        if tensor.ndim == 0 or name in but:
            continue
        if size is not None and len(tensor) != size:
            raise InvalidInput(
                f"{name}: {len(tensor)} rows do not match the {size} of the other tensors."
            )
        size = len(tensor)
    if not size:
        size = max((len(t) for t in request.values() if t.ndim), default=0)
    if not size:
        raise InvalidInput(
            f"{next(iter(request), 'k')}: the request has no row; send tensors of at least one row."
        )
    return size


def text(value: bytes | str, field: str) -> str:
    """Decode one string.

    Raises:
        InvalidInput: It is not UTF-8, or too long.
    """
    if len(value) > MAX_TEXT:
        raise InvalidInput(
            f"{field}: a string of {len(value)} bytes is too long; at most {MAX_TEXT} are allowed."
        )
    if isinstance(value, str):
        return value
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{field}: {value[:40]!r} is not UTF-8 ({error.reason}).") from None


def text_rows(request: Arrays, field: str, *, drop_empty: bool = True) -> list[list[str]]:
    """Decode a (B, n) string tensor; empty strings are padding.

    Raises:
        InvalidInput: A row is too long or not UTF-8.
    """
    tensor = request[field]
    if tensor.ndim != 2 or tensor.shape[1] > MAX_LIST:
        raise InvalidInput(
            f"{field}: shape {list(tensor.shape)} is not allowed; send [rows, entries] with at "
            f"most {MAX_LIST} entries."
        )
    rows = [[text(value, field) for value in row] for row in tensor.tolist()]
    return [[value for value in row if value] for row in rows] if drop_empty else rows


def like(
    request: Arrays, field: str, other: str, default: npt.NDArray[np.generic]
) -> npt.NDArray[np.generic]:
    """Return an optional tensor that runs along another one.

    Raises:
        InvalidInput: The shapes differ.
    """
    tensor = request.get(field)
    if tensor is None or not tensor.size:
        return default
    if tensor.shape != default.shape:
        raise InvalidInput(
            f"{field}: shape {list(tensor.shape)} does not match {other} {list(default.shape)}; "
            f"send one value per entry of {other}, or leave {field} out."
        )
    return np.asarray(tensor)


def pad(rows: Sequence[Sequence[str]], *, width: int | None = None) -> npt.NDArray[np.object_]:
    """Return the rows as one (B, n) string tensor, filled with empty strings."""
    length = max(map(len, rows), default=0) if width is None else width
    padded = np.full((len(rows), length), b"", dtype=object)
    for index, row in enumerate(rows):
        padded[index, : len(row)] = [value.encode() for value in row]
    return padded
