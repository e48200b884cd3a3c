"""A typed gRPC client of the served model `catalogue`: adds and removes items while it serves."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import numpy as np
import tritonclient.grpc as grpc
from tritonclient.utils import InferenceServerException

from counterpoint.errors import ServerError
from serving import messages
from serving.client import DEFAULT_URL, channel
from serving.credentials import NO_CREDENTIALS, Credentials

ROWS = 32
"""Items of one request; they are encoded in one run and written together."""

BYTES = 500_000
"""Most bytes of their JSON in one request, a single item apart: vectors are long, and a server
takes 1 MB where the deployment says nothing else."""

_PAUSE = 0.005


class LiveItemsClient:
    """Changes the catalogue of a server over gRPC; a context manager.

    Args:
        url: ``host:port``.
        timeout: Seconds for each request. None is repeated: a repeated addition would be refused.
        credentials: TLS files and token, for a server that asks for them.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        timeout: float = 30.0,
        credentials: Credentials = NO_CREDENTIALS,
    ) -> None:
        self._url = url
        self._timeout = timeout
        self._credentials = credentials
        self._grpc = grpc.InferenceServerClient(url, **channel(credentials))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._grpc.close()

    def add(
        self, items: Sequence[Mapping[str, Any]], *, replace: bool = False
    ) -> list[dict[str, Any]]:
        """Add items; each request, of at most ``ROWS``, is written as a whole or not at all.

        Args:
            items: Fields of docs/serving.md, New items.
            replace: Overwrite items that exist.

        Returns:
            For each, what was done, the stored row, and what of it the model knows.

        Raises:
            DataError: An item is refused; names the field. Earlier requests stay written.
            ServerError: The server cannot be reached, is too slow, or failed.
        """
        return self._all("replace" if replace else "add", items)

    def remove(self, item_ids: Sequence[str]) -> list[dict[str, Any]]:
        """Remove items: no later answer shows them.

        Raises:
            DataError: An id is unknown.
            ServerError: The server cannot be reached, is too slow, or failed.
        """
        return self._all("remove", [{"item_id": item} for item in item_ids])

    def get(self, item_id: str) -> dict[str, Any]:
        """Return what is known of one item.

        Raises:
            DataError: The id is unknown.
            ServerError: The server cannot be reached, is too slow, or failed.
        """
        return self._ask("get", [{"item_id": item_id}])[0]

    def items(self, *, removed: bool = False) -> list[dict[str, Any]]:
        """Return the live items by id.

        Args:
            removed: With those that were removed.

        Raises:
            ServerError: The server cannot be reached, is too slow, or failed.
        """
        found: list[dict[str, Any]] = []
        while True:
            after = found[-1]["item_id"] if found else ""
            page = self._ask("list", [{"after": after, "removed": removed}])[0]["items"]
            if not page:
                return found
            found += page

    def await_known(self, item_ids: Sequence[str], *, patience: float = 30.0) -> None:
        """Wait until `recommend` has the items in its catalogue.

        An id that it does not know comes back as ``unknown_item``.

        Raises:
            ServerError: It does not have them in time.
        """
        ends = time.monotonic() + patience
        row = np.array([[item.encode() for item in item_ids]], dtype=object)
        while missing := self._unknown(row):
            if time.monotonic() > ends:
                raise ServerError(
                    f"The server {self._url} wrote the items, but `recommend` does not know "
                    f"{len(missing)} of them after {patience:g} s, such as {missing[0]!r}. Do both "
                    f"use the same deploy.live_items? Its log says more."
                )
            time.sleep(_PAUSE)

    def _unknown(self, row: Any) -> list[str]:
        # These alone, and these not: an answer without items leaves no trace among impressions.
        shape = list(row.shape)
        fields = [grpc.InferInput(name, shape, "BYTES") for name in ("allow", "exclude")]
        for field in fields:
            field.set_data_from_numpy(row)
        found = self._infer("recommend", fields).as_numpy("unknown_item")[0]
        return [item.decode() for item in found if item]

    def _all(self, action: str, items: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        answers: list[dict[str, Any]] = []
        for rows in _requests([json.dumps(item) for item in items]):
            answers += self._send(action, rows)
        return answers

    def _ask(self, action: str, items: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        return self._send(action, [json.dumps(item) for item in items])

    def _send(self, action: str, items: Sequence[str]) -> list[dict[str, Any]]:
        columns = {"action": [action] * len(items), "item": items}
        inputs = []
        for name, values in columns.items():
            inputs.append(grpc.InferInput(name, [len(items), 1], "BYTES"))
            rows = np.array([[value.encode()] for value in values], dtype=object)
            inputs[-1].set_data_from_numpy(rows)
        answer = self._infer("catalogue", inputs).as_numpy("answer")
        return [json.loads(row[0]) for row in answer]

    def _infer(self, model: str, inputs: list[Any]) -> Any:
        try:
            return self._grpc.infer(
                model, inputs, client_timeout=self._timeout, headers=self._credentials.headers()
            )
        except InferenceServerException as error:
            raise messages.explain(error, self._url, self._timeout) from error


def _requests(items: Sequence[str]) -> Iterator[list[str]]:
    """Divide items, as JSON, into requests of at most ``ROWS`` and, if several, ``BYTES``."""
    rows: list[str] = []
    for item in items:
        if rows and (len(rows) == ROWS or sum(map(len, rows)) + len(item) > BYTES):
            yield rows
            rows = []
        rows.append(item)
    if rows:
        yield rows
