"""The typed gRPC client of the served models for asyncio programs."""

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self, Unpack

import numpy as np
import numpy.typing as npt
import tritonclient.grpc.aio as grpc
from tritonclient.utils import InferenceServerException

from serving import messages
from serving.client import DEFAULT_URL, channel, inputs
from serving.credentials import NO_CREDENTIALS, Credentials
from serving.messages import Judgements, Recommendations, Tensors
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


class AsyncRecommendClient:
    """As ``RecommendClient``, with coroutines; an asynchronous context manager.

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

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection."""
        await self._grpc.close()

    async def recommend(
        self, *, timeout: float | None = None, **question: Unpack[QuestionFields]
    ) -> Recommendations:
        """As ``RecommendClient.recommend``."""
        return (await self.recommend_many([Question(**question)], timeout=timeout))[0]

    async def recommend_many(
        self, questions: Sequence[Question], *, timeout: float | None = None
    ) -> list[Recommendations]:
        """As ``RecommendClient.recommend_many``; several requests are under way at once."""
        return await self._ask(questions, timeout)

    async def similar(
        self, *items: str, timeout: float | None = None, **question: Unpack[SimilarFields]
    ) -> Recommendations:
        """As ``RecommendClient.similar``."""
        return (await self._ask([SimilarQuestion(items, **question)], timeout))[0]

    async def rerank(
        self, *items: str, timeout: float | None = None, **question: Unpack[RerankFields]
    ) -> Judgements:
        """As ``RecommendClient.rerank``."""
        tensors = messages.tensors(RERANK, [RerankQuestion(items, **question).values()])
        return messages.judgements(await self._infer(RERANK, tensors, timeout))

    async def encode(self, text: str, *, timeout: float | None = None) -> npt.NDArray[np.float32]:
        """As ``RecommendClient.encode``."""
        tensors = messages.tensors(ENCODE, [{"text": [text]}])
        answer = await self._infer(ENCODE, tensors, timeout)
        return np.asarray(answer["vector"][0], dtype=np.float32)

    async def _ask(
        self, questions: Sequence[Question] | Sequence[SimilarQuestion], timeout: float | None
    ) -> list[Recommendations]:
        asked = [self._infer(*request, timeout) for request in messages.requests(questions)]
        return [
            row for out in await asyncio.gather(*asked) for row in messages.recommendations(out)
        ]

    async def _infer(
        self, spec: ModelSpec, tensors: Tensors, timeout: float | None
    ) -> dict[str, npt.NDArray[Any]]:
        seconds = self._timeout if timeout is None else timeout
        deadline = Deadline(seconds, self._retry)
        for failures, limit in enumerate(deadline.attempts(), start=1):
            try:
                result = await self._grpc.infer(
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
                await asyncio.sleep(pause)
            else:
                return {t.name: result.as_numpy(t.name) for t in spec.outputs}
        raise fault
