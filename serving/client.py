"""A typed gRPC client of the served models."""

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self, Unpack

import numpy as np
import numpy.typing as npt
import tritonclient.grpc as grpc
from tritonclient.utils import InferenceServerException

from serving import messages
from serving.credentials import NO_CREDENTIALS, Credentials
from serving.messages import Judgements, Recommendation, Recommendations, Tensors
from serving.models.encode import SPEC as ENCODE
from serving.models.rerank import SPEC as RERANK
from serving.questions import (
    Question,
    QuestionFields,
    RerankFields,
    RerankQuestion,
    SimilarFields,
    SimilarQuestion,
)
from serving.retry import Deadline, Retry
from serving.spec import ModelSpec

__all__ = [
    "DEFAULT_URL",
    "Question",
    "RecommendClient",
    "Recommendation",
    "Recommendations",
    "SimilarQuestion",
]

DEFAULT_URL = "127.0.0.1:8001"


class RecommendClient:
    """Asks a server over gRPC; a context manager, usable from several threads.

    Args:
        url: ``host:port``.
        timeout: Seconds for each call, over all attempts.
        retry: When a call is attempted again.
        credentials: TLS files and token, for a server that asks for them.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        timeout: float = 5.0,
        retry: Retry = Retry(),  # noqa: B008 (frozen)
        credentials: Credentials = NO_CREDENTIALS,
    ) -> None:
        self._url = url
        self._timeout = timeout
        self._retry = retry
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

    def recommend(
        self, *, timeout: float | None = None, **question: Unpack[QuestionFields]
    ) -> Recommendations:
        """Ask for recommendations; without any argument, for the start page.

        Args:
            timeout: Seconds; default that of the client.
            question: The fields of ``Question``, such as ``user="42"``.

        Raises:
            DataError: The server refuses the request; names the field.
            ServerError: The server cannot be reached, is too slow, or failed.
        """
        return self.recommend_many([Question(**question)], timeout=timeout)[0]

    def recommend_many(
        self, questions: Sequence[Question], *, timeout: float | None = None
    ) -> list[Recommendations]:
        """Ask several questions at once and return the answers in their order.

        Up to 64 questions travel in one request; one that is wrong fails all of its request.

        Raises:
            DataError: The server refuses a question; names the field.
            ServerError: The server cannot be reached, is too slow, or failed.
        """
        return self._ask(questions, timeout)

    def similar(
        self, *items: str, timeout: float | None = None, **question: Unpack[SimilarFields]
    ) -> Recommendations:
        """Ask for the items most like one item, or like the mean of several.

        Args:
            items: Known item ids.
            timeout: Seconds; default that of the client.
            question: The other fields of ``SimilarQuestion``, such as ``k=5``.

        Raises:
            DataError: The server refuses the request, for example because an item is unknown.
            ServerError: The server cannot be reached, is too slow, or failed.
        """
        return self._ask([SimilarQuestion(items, **question)], timeout)[0]

    def rerank(
        self, *items: str, timeout: float | None = None, **question: Unpack[RerankFields]
    ) -> Judgements:
        """Ask how much a user will like given items; needs a version with a re-ranker.

        Args:
            items: Item ids.
            timeout: Seconds; default that of the client.
            question: The other fields of ``RerankQuestion``, such as ``user="42"``.

        Raises:
            DataError: The server refuses the request.
            ServerError: The server cannot be reached, is too slow, has no re-ranker, or failed.
        """
        rows = [RerankQuestion(items, **question).values()]
        return messages.judgements(self._infer(RERANK, messages.tensors(RERANK, rows), timeout))

    def encode(self, text: str, *, timeout: float | None = None) -> npt.NDArray[np.float32]:
        """Return the (D,) unit vector of an item text.

        Raises:
            DataError: The server refuses the request.
            ServerError: The server cannot be reached, is too slow, or failed.
        """
        answer = self._infer(ENCODE, messages.tensors(ENCODE, [{"text": [text]}]), timeout)
        return np.asarray(answer["vector"][0], dtype=np.float32)

    def _ask(
        self, questions: Sequence[Question] | Sequence[SimilarQuestion], timeout: float | None
    ) -> list[Recommendations]:
        answers: list[Recommendations] = []
        for spec, tensors in messages.requests(questions):
            answers += messages.recommendations(self._infer(spec, tensors, timeout))
        return answers

    def _infer(
        self, spec: ModelSpec, tensors: Tensors, timeout: float | None
    ) -> dict[str, npt.NDArray[Any]]:
        seconds = self._timeout if timeout is None else timeout
        deadline = Deadline(seconds, self._retry)
        for failures, limit in enumerate(deadline.attempts(), start=1):
            try:
                result = self._grpc.infer(
                    spec.name,
                    inputs(tensors, grpc.InferInput),
                    client_timeout=limit,
                    headers=self._credentials.headers(),
                )
            except InferenceServerException as error:
                fault = messages.explain(error, self._url, seconds)
                pause = deadline.wait(failures) if messages.retried(error) else None
                if pause is None:
                    raise fault from error
                time.sleep(pause)
            else:
                return {t.name: result.as_numpy(t.name) for t in spec.outputs}
        raise fault


def inputs(tensors: Tensors, make: Any) -> list[Any]:
    """Return the tensors as tritonclient's InferInput."""
    found = []
    for name, (dtype, array) in tensors.items():
        found.append(make(name, list(array.shape), dtype))
        found[-1].set_data_from_numpy(array)
    return found


def channel(credentials: Credentials) -> dict[str, Any]:
    """Return the arguments of tritonclient's clients.

    A channel that has lost its server looks for it again at least every second, so that a client
    that waits is answered soon after a restart.
    """
    size = 2**31 - 1
    return {
        "channel_args": [
            ("grpc.max_send_message_length", size),
            ("grpc.max_receive_message_length", size),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.min_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 1000),
        ],
        **credentials.channel(),
    }
