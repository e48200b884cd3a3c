"""A typed gRPC client of the served models."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import tritonclient.grpc as grpc
from tritonclient.utils import InferenceServerException

from counterpoint.errors import DataError, ServerError
from serving.credentials import NO_CREDENTIALS, Credentials, plain_client
from serving.models import recommend
from serving.models.encode import SPEC as ENCODE
from serving.query import DEFAULT_K
from serving.spec import BYTES, ModelSpec

DEFAULT_URL = "127.0.0.1:8001"

_NUMPY: dict[str, Any] = {
    "BYTES": np.object_,
    "BOOL": np.bool_,
    "INT32": np.int32,
    "INT64": np.int64,
    "FP32": np.float32,
}


@dataclass(frozen=True)
class Recommendation:
    """One recommended item; ``reasons`` are history items that contributed most."""

    item_id: str
    title: str
    score: float
    reasons: Sequence[str] = ()


@dataclass(frozen=True)
class Recommendations:
    """One answer of `recommend`; the fields are those of the served model (docs/serving.md)."""

    items: Sequence[Recommendation]
    source: str
    model_version: str
    trace_id: str
    degraded: bool = False
    unknown_items: Sequence[str] = ()
    unknown_attributes: Sequence[str] = ()


class RecommendClient:
    """Asks a server over gRPC; a context manager.

    Args:
        url: ``host:port``.
        timeout: Seconds for each request.
        credentials: TLS files and token, for a server that asks for them.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        timeout: float = 5.0,
        credentials: Credentials = NO_CREDENTIALS,
    ) -> None:
        self._url = url
        self._timeout = timeout
        self._credentials = credentials
        self._grpc = plain_client(url, credentials)

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

    def recommend(
        self,
        *,
        user: str = "",
        history: Sequence[str] = (),
        timestamps: Sequence[datetime] = (),
        positive: Sequence[bool] = (),
        attributes: Sequence[str] = (),
        exclude: Sequence[str] = (),
        k: int = DEFAULT_K,
        timeout: float | None = None,
    ) -> Recommendations:
        """Ask for recommendations; without any argument, for the start page.

        Args:
            user: A user the store may know; the history is then added to the stored one.
            history: Item ids, oldest first.
            timestamps: Time of each history entry, if known.
            positive: Whether each history entry was liked; default all.
            attributes: ``name=value``; numbers may be raw (``age=31``).
            exclude: Items to leave out. What is in the history is left out anyway.
            k: Length of the list.
            timeout: Seconds; default that of the client.

        Raises:
            DataError: The server refuses the request; names the field.
            ServerError: The server cannot be reached, is too slow, or failed.
        """
        micros = [round(moment.timestamp() * 1_000_000) for moment in timestamps]
        values: dict[str, Sequence[Any]] = {
            "user_id": [user],
            "history": history,
            "history_timestamp": micros,
            "history_positive": positive,
            "attributes": attributes,
            "exclude": exclude,
            "k": [k],
        }
        answer = self._infer(recommend.SPEC, values, timeout)
        items = [
            Recommendation(item, title, float(score), [reason for reason in reasons if reason])
            for item, title, score, reasons in zip(
                _texts(answer["item_id"]),
                _texts(answer["title"]),
                answer["score"][0],
                [_texts(row[None]) for row in answer["reason"][0]],
                strict=True,
            )
            if item
        ]
        return Recommendations(
            items=items,
            source=_texts(answer["source"])[0],
            model_version=_texts(answer["model_version"])[0],
            trace_id=_texts(answer["trace_id"])[0],
            degraded=bool(answer["degraded"][0, 0]),
            unknown_items=_texts(answer["unknown_item"]),
            unknown_attributes=_texts(answer["unknown_attribute"]),
        )

    def encode(self, text: str, *, timeout: float | None = None) -> npt.NDArray[np.float32]:
        """Return the (D,) unit vector of an item text.

        Raises:
            DataError: The server refuses the request.
            ServerError: The server cannot be reached, is too slow, or failed.
        """
        answer = self._infer(ENCODE, {"text": [text]}, timeout)
        return np.asarray(answer["vector"][0], dtype=np.float32)

    def _infer(
        self, spec: ModelSpec, values: dict[str, Sequence[Any]], timeout: float | None
    ) -> dict[str, npt.NDArray[Any]]:
        inputs = []
        for tensor in spec.inputs:
            given = values[tensor.name]
            try:
                if tensor.dtype == BYTES:
                    given = [value.encode() for value in given]
                array = np.array([given], dtype=_NUMPY[tensor.dtype]).reshape(1, len(given))
            except (OverflowError, ValueError, TypeError, AttributeError) as error:
                raise DataError(f"{tensor.name}: {given!r} cannot be sent ({error}).") from error
            inputs.append(grpc.InferInput(tensor.name, list(array.shape), tensor.dtype))
            inputs[-1].set_data_from_numpy(array)
        seconds = self._timeout if timeout is None else timeout
        try:
            headers = self._credentials.headers()
            result = self._grpc.infer(spec.name, inputs, client_timeout=seconds, headers=headers)
        except InferenceServerException as error:
            raise _explain(error, self._url, seconds) from error
        return {t.name: result.as_numpy(t.name) for t in spec.outputs}


def _texts(row: npt.NDArray[Any]) -> list[str]:
    return [value.decode() for value in row[0]]


def _explain(error: InferenceServerException, url: str, seconds: float) -> DataError | ServerError:
    status, message = str(error.status()), error.message()
    if "INVALID_ARGUMENT" in status:
        return DataError(f"The server refuses the request: {message}")
    if "DEADLINE_EXCEEDED" in status:
        return ServerError(
            f"The server {url} did not answer within {seconds:g} s. Raise the timeout, or look at "
            f"the server's load and log."
        )
    if "restricted" in message:
        return ServerError(
            f"The server {url} asks for a token: {message}. Give the client the token for "
            f"inference (Credentials.token; `counterpoint recommend --credentials FOLDER`)."
        )
    if "UNAVAILABLE" in status and ("queue size" in message or "timeout expired" in message):
        return ServerError(f"The server {url} is overloaded: {message}. Try again a little later.")
    if "UNAVAILABLE" in status:
        return ServerError(
            f"No server answers at {url}. Start one with `counterpoint serve`, or name another."
        )
    return ServerError(f"The server {url} failed: {status} {message}. Look at its log.")
