"""A request of `recommend` as checked values (inside Triton: standard library and numpy only)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from counterpoint.attributes import Spec, normalise
from serving.fields import MAX_REQUEST_BYTES, check_size, like, text_rows
from serving.observe.trace_context import TraceContext
from serving.spec import Arrays, InvalidInput

DEFAULT_K = 10


@dataclass
class Query:
    """One row of a request; ``events`` are (item index, liked), oldest first."""

    user_id: str
    events: list[tuple[int, bool]]
    attributes: list[str]
    exclude: list[int]
    k: int
    unknown_items: list[str]
    unknown_attributes: list[str]
    trace: TraceContext
    source: str = "start_page"
    degraded: bool = False


class QueryReader:
    """Turns request tensors into queries.

    Args:
        index: item id -> one-based catalogue index.
        profile: Tokens of the model's profile vocabulary.
        attributes: How raw values become tokens (contract.json).
        max_k: Longest list the graph returns.
        max_bytes: Most bytes of one request.
    """

    def __init__(
        self,
        index: Mapping[str, int],
        *,
        profile: Mapping[str, int],
        attributes: Spec,
        max_k: int,
        max_bytes: int = MAX_REQUEST_BYTES,
    ) -> None:
        self._index = index
        self._profile = profile
        self._attributes = attributes
        self._max_k = max_k
        self._max_bytes = max_bytes

    def read(self, request: Arrays, trace: TraceContext) -> list[Query]:
        """Return one query per row; all of them belong to the trace of the request.

        Raises:
            InvalidInput: Names the field, its value and what is allowed.
        """
        check_size(request, self._max_bytes)
        size = len(next(iter(request.values())))
        empty = np.empty((size, 0), dtype=object)
        given = {**dict.fromkeys(("user_id", "history", "attributes", "exclude"), empty), **request}
        users = text_rows(given, "user_id")
        histories = text_rows(given, "history", drop_empty=False)
        shape = given["history"].shape
        stamps = like(request, "history_timestamp", "history", np.zeros(shape, np.int64))
        liked = like(request, "history_positive", "history", np.ones(shape, bool))
        attributes = text_rows(given, "attributes")
        excluded = text_rows(given, "exclude")
        ks = like(request, "k", "the rows", np.full((size, 1), DEFAULT_K, np.int32))[:, 0]
        queries = []
        for row in range(size):
            k = int(ks[row])
            if not 1 <= k <= self._max_k:
                raise InvalidInput(f"k: {k} is out of range; allowed are 1 to {self._max_k}.")
            order = _chronological(stamps[row], [bool(item) for item in histories[row]])
            past = [(histories[row][i], bool(liked[row][i])) for i in order]
            unknown = [item for item, _ in past if item not in self._index]
            unknown += [item for item in excluded[row] if item not in self._index]
            profile, strange = self._tokens(attributes[row])
            queries.append(
                Query(
                    user_id=users[row][0] if users[row] else "",
                    events=[(self._index[i], flag) for i, flag in past if i in self._index],
                    attributes=profile,
                    exclude=[self._index[i] for i in excluded[row] if i in self._index],
                    k=k,
                    unknown_items=list(dict.fromkeys(unknown)),
                    unknown_attributes=strange,
                    trace=trace,
                )
            )
        return queries

    def _tokens(self, attributes: Sequence[str]) -> tuple[list[str], list[str]]:
        """Return the tokens the model knows and those it does not."""
        try:
            found = normalise(attributes, self._attributes)
        except ValueError as error:
            raise InvalidInput(f"attributes: {error} Send for example age=31.") from None
        known = [token for token in found if token in self._profile]
        return known, [token for token in found if token not in self._profile]


def _chronological(stamps: npt.NDArray[np.generic], real: Sequence[bool]) -> list[int]:
    """Return the positions of the real entries, oldest first; equal times keep their order."""
    positions = [i for i, is_real in enumerate(real) if is_real]
    times = [int(stamps[i]) for i in positions]
    if any(time < 0 for time in times) or (any(times) and not all(times)):
        raise InvalidInput(
            f"history_timestamp: {times} mixes known and unknown times; send microseconds since "
            f"1970-01-01 for every entry of history, or 0 for all of them."
        )
    return sorted(positions, key=lambda i: int(stamps[i]))
